"""Settings and places: what is right is taken over, what is wrong is named with what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporters.atomic import Times
from exporters.tags.edit import TagField
from moodzone_agent.config import HOME_VARIABLE, Places, Settings, load_settings
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
        """,
    )
    assert told.zones == Cuts(3.0, 5.5, 1.0)
    assert (told.tags.field, told.tags.times) == (TagField.GROUPING, Times.KEEP)
    assert (told.journal.keep_days, told.journal.max_megabytes) == (30, 100)


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
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, named: list[str]) -> None:
    with pytest.raises(UsageError) as raised:
        settings(tmp_path, text)
    for part in [*named, str(tmp_path / "settings.toml")]:
        assert part in str(raised.value)


def test_settings_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_bytes(b"# caf\xe9\n")
    for path in (tmp_path, tmp_path / "settings.toml"):
        with pytest.raises(UsageError, match="cannot be read"):
            load_settings(path)


def test_home_variable_holds_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    places = Places.find()
    assert {places.settings.parent, places.library.parent, places.journal.parent} == {tmp_path}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(HOME_VARIABLE, "here")
    assert Places.find().library.parent == tmp_path / "here"


def test_without_it_the_platform_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from platformdirs import user_config_path, user_data_path

    monkeypatch.setenv(HOME_VARIABLE, "")
    monkeypatch.setenv("HOME", str(tmp_path))
    places = Places.find()
    assert places.settings.parent == user_config_path("moodzone", appauthor=False)
    assert {places.library.parent, places.journal.parent} == {user_data_path("moodzone", appauthor=False)}
