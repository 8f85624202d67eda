"""Settings and places: what is right is taken over, what is wrong is named with what would be right."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.atomic import Times
from exporters.tags.edit import TagField
from moodzone_agent.config import (
    HOME_VARIABLE,
    AgentSettings,
    Places,
    Settings,
    change_settings,
    load_settings,
    stored_table,
)
from moodzone_agent.errors import UsageError
from moodzone_agent.types import Cuts


def settings(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path)


def test_no_file_gives_the_defaults(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "settings.toml") == Settings()
    assert settings(tmp_path, "") == Settings()


def test_every_setting(tmp_path: Path) -> None:
    told = settings(
        tmp_path,
        """
        [zones]
        yellow_max = 3
        purple_min = 5.5
        purple_min_valence = 1.0
        [tags]
        field = "grouping"
        times = "keep"
        [journal]
        keep_days = 30
        max_megabytes = 100
        [agent]
        folders = [
            "/music/new",
            "~/Music",  # mine
        ]
        write = true
        targets = ["tags", "serato"]
        sweep_minutes = 5
        quiet_minutes = 0
        jobs = 3
        """,
    )
    assert told.zones == Cuts(3.0, 5.5, 1.0)
    assert (told.tags.field, told.tags.times) == (TagField.GROUPING, Times.KEEP)
    assert (told.journal.keep_days, told.journal.max_megabytes) == (30, 100)
    assert told.agent == AgentSettings(
        folders=("/music/new", "~/Music"),
        write=True,
        targets=("tags", "serato"),
        sweep_minutes=5.0,
        quiet_minutes=0.0,
        jobs=3,
    )
    assert told.agent.watched == (Path("/music/new"), Path.home() / "Music")


def test_every_setting_of_the_agent_is_documented() -> None:
    for item in fields(AgentSettings):
        assert f"- ``{item.name}``: " in (AgentSettings.__doc__ or "")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("colour = 1", ["colour", "zones", "tags", "journal"]),
        ("[zones]\nyellow = 4", ["zones.yellow", "yellow_max", "purple_min"]),
        ("zones = 4", ["[zones]"]),
        ("[zones]\nyellow_max = 'low'", ["zones.yellow_max", "number", "low"]),
        ("[zones]\nyellow_max = true", ["zones.yellow_max", "number"]),
        ("[zones]\npurple_min_valence = nan", ["zones.purple_min_valence", "number"]),
        ("[zones]\nyellow_max = 7", ["zones.yellow_max", "zones.purple_min"]),
        ("[zones]\npurple_min = 9.5", ["zones.purple_min", "1 to 9"]),
        ("[tags]\nfield = 'rating'", ["tags.field", "comment", "grouping", "genre", "none", "rating"]),
        ("[tags]\ntimes = 1", ["tags.times", "nudge", "keep", "now"]),
        ("[journal]\nkeep_days = 1.5", ["journal.keep_days", "whole"]),
        ("[journal]\nmax_megabytes = -1", ["journal.max_megabytes", "0 or more"]),
        ("[journal]\nkeep_days = inf", ["journal.keep_days", "number"]),
        ("[tags]\n!", ["TOML", "line 2"]),
        ("[agent]\nwrite = 1", ["line 2: agent.write", "true or false"]),
        ("[agent]\nfolders = '/music'", ["line 2: agent.folders", "list of texts"]),
        ("[agent]\nfolders = [\n1]", ["line 2: agent.folders", "list of texts"]),
        ("[agent]\nfolders = ['music']", ["line 2: agent.folders", "'music'", "~"]),
        ("[agent]\n\ntargets = ['tag']", ["line 3: agent.targets", "tags, rekordbox-xml", "'tag'"]),
        ("[agent]\njobs = -1", ["line 2: agent.jobs", "0 or more"]),
        ("[agent]\njobs = 1\npoll_seconds = 0", ["line 3: agent.poll_seconds", "more than 0"]),
        ("[agent]\nsettle_seconds = -1", ["line 2: agent.settle_seconds", "0 or more"]),
        ("[agent]\nfolder = []", ["line 2: ", "agent.folder;", "folders, write"]),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, named: list[str]) -> None:
    with pytest.raises(UsageError) as raised:
        settings(tmp_path, text)
    for part in [*named, str(tmp_path / "settings.toml")]:
        assert part in str(raised.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("agent = {jobs = 1, folders = 1}", 1),
        ("# one\nagent.jobs = 1\nagent.folders = 1", 3),
        ('[agent]\nfolders = [\n  "/a",\n\n  2,\n]\njobs = 1', 2),
        ('["agent"]\r\njobs = 1\r\n\r\n"folders" = 1\r\n', 4),
        ('[tags]\nmarker = """\n[agent]\nfolders = 1\n"""\n[agent]\nfolders = 1', 2),
        ("[zones]\nyellow_max = 3\n\n[agent]\n# folders = 1\n  folders=1 # here", 6),
    ],
)
def test_the_line_is_named_however_it_is_written(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(UsageError, match=rf"settings\.toml, line {line}: "):
        settings(tmp_path, text)


def test_settings_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_bytes(b"# caf\xe9\n")
    for path in (tmp_path, tmp_path / "settings.toml"):
        with pytest.raises(UsageError, match="cannot be read"):
            load_settings(path)


def test_home_variable_holds_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    places = Places.find()
    assert {places.settings.parent, places.library.parent, places.journal.parent, places.models.parent} == {
        tmp_path
    }
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(HOME_VARIABLE, "here")
    assert Places.find().library.parent == tmp_path / "here"
    assert Places.find().agent == tmp_path / "here" / "agent"


def test_without_it_the_platform_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from platformdirs import user_config_path, user_data_path

    monkeypatch.setenv(HOME_VARIABLE, "")
    monkeypatch.setenv("HOME", str(tmp_path))
    places = Places.find()
    assert places.settings.parent == user_config_path("moodzone", appauthor=False)
    assert {places.library.parent, places.journal.parent} == {user_data_path("moodzone", appauthor=False)}


EDITED = """\
# my settings

[tags]   # how I like it
field = 'grouping'

[zones]
# found by ear
yellow_max = 3.50   # not lower
purple_min_valence = 2

[journal]
keep_days = 30
"""


def test_a_change_keeps_all_else_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(EDITED, encoding="utf-8")
    before = stored_table(path, "zones")
    assert before == {"yellow_max": 3.5, "purple_min_valence": 2}
    change_settings(path, "zones", {"yellow_max": 4.25, "purple_min": 5.5, "purple_min_valence": None})
    assert load_settings(path).zones == Cuts(4.25, 5.5, 4.5)
    text = path.read_text(encoding="utf-8")
    for kept in (
        "# my settings",
        "[tags]   # how I like it",
        "field = 'grouping'",
        "# found by ear",
        "# not lower",
    ):
        assert kept in text
    change_settings(path, "zones", {"yellow_max": 3.5, "purple_min": None, "purple_min_valence": 2.0})
    assert load_settings(path).zones == Cuts(3.5, 6.0, 2.0)
    assert load_settings(path).journal.keep_days == 30
    assert [place.name for place in tmp_path.iterdir()] == ["settings.toml"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing",
        "zones = {yellow_max = 3}",
        "zones.yellow_max = 3",
        "[zones]",
        "[zones]\n# mine\n",
        "[zones]\r\nyellow_max = 3 # low\r\n",
        "[journal]\nkeep_days = 3",
        "[zones]\nyellow_max = 3\n[zones.more]\n",
    ],
)
def test_a_change_of_any_way_of_writing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "new folder" / "settings.toml"
    path.parent.mkdir()
    path.write_bytes(text.encode())
    if "more" in text:
        with pytest.raises(UsageError, match=r"no setting zones\.more"):
            change_settings(path, "zones", {"yellow_max": 4.5})
        assert path.read_bytes() == text.encode()
        return
    before = load_settings(path)
    was = {"yellow_max": stored_table(path, "zones").get("yellow_max"), "purple_min": None}
    change_settings(path, "zones", {"yellow_max": 4.5, "purple_min": 5.5})
    assert load_settings(path).zones == Cuts(4.5, 5.5)
    assert ("\r\n" in text) == (b"low\r\n" in path.read_bytes())
    change_settings(path, "zones", was)
    assert load_settings(path) == before
    assert ("# mine" in text) == ("# mine" in path.read_text())


def test_lists_are_changed_too(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("[agent]\njobs = 1\n")
    change_settings(path, "agent", {"folders": ["/music", '/a "b"/']})
    assert load_settings(path).agent == AgentSettings(folders=("/music", '/a "b"/'), jobs=1)
    change_settings(path, "agent", {"folders": None})
    assert path.read_text() == "[agent]\njobs = 1\n"


def test_a_change_makes_the_file_and_follows_a_link(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "settings.toml"
    change_settings(path, "zones", {"yellow_max": 4.5})
    assert path.read_text() == "[zones]\nyellow_max = 4.5\n"
    change_settings(path, "zones", {"yellow_max": None})
    assert path.read_text() == ""
    real = tmp_path / "dotfiles.toml"
    path.replace(real)
    real.chmod(0o600)
    path.symlink_to(real)
    change_settings(path, "zones", {"yellow_max": 4.5})
    assert path.is_symlink()
    assert "4.5" in real.read_text()
    assert real.stat().st_mode & 0o777 == 0o600


def test_a_change_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"permissions|cannot be read"):
        change_settings(tmp_path / "file" / "settings.toml", "zones", {"yellow_max": 4.5})


@given(
    comment=st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\u2028\u2029\x85")),
    value=st.floats(1, 6),
)
def test_any_comment_is_kept(tmp_path_factory: pytest.TempPathFactory, comment: str, value: float) -> None:
    path = tmp_path_factory.mktemp("settings") / "settings.toml"
    text = f"# {comment}\n[tags]\nfield = 'none' # {comment}\n"
    path.write_bytes(text.encode())
    change_settings(path, "zones", {"yellow_max": value})
    assert path.read_bytes().decode().startswith(text)
    assert load_settings(path).zones.yellow_max == value
