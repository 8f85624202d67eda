from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moodzone_agent.errors import UsageError
from moodzone_agent.library.label_csv import ImportCounts, export_labels, import_labels
from moodzone_agent.library.store import FileRecord, FileStatus, Library, Stamp
from moodzone_agent.types import Label, LabelOrigin, Zone
from tests.agent.test_cli import fine, run
from trainer.datasets.labels import read_labels

MUSIC = Path("/music")


def put(library: Library, *names: str) -> None:
    for name in names:
        library.put_file(FileRecord(MUSIC / f"{name}.mp3", Stamp(1, 2, 3), FileStatus.OK, name))


def say(library: Library, audio_id: str, zone: Zone | None, time_ns: int) -> None:
    if zone:
        library.add_label(Label(audio_id, zone, LabelOrigin.CORRECTED, "cli, said", time_ns))
    else:
        library.retract_label(audio_id, "cli", time_ns)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library.open(tmp_path / "library.sqlite") as library:
        put(library, "a", "b", "c")
        say(library, "a", Zone.GREEN, 10)
        say(library, "b", Zone.PURPLE, 20)
        say(library, "a", Zone.YELLOW, 30)
        say(library, "b", None, 40)
        yield library


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Library]:
    with Library.open(tmp_path / "other.sqlite") as library:
        put(library, "a", "b", "c")
        yield library


def test_the_whole_history_goes_out_and_in(library: Library, other: Library, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    assert export_labels(library, file) == 4
    assert file.read_text().splitlines()[:2] == [
        "audio_id,path,zone,origin,source,time_ns",
        'a,/music/a.mp3,GREEN,corrected,"cli, said",10',
    ]
    assert import_labels(other, file) == ImportCounts(4, 0, 0, ())
    for audio_id in "abc":
        assert other.labels(audio_id) == library.labels(audio_id)
    assert import_labels(other, file) == import_labels(library, file) == ImportCounts(0, 4, 0, ())
    assert len(library.labels()) == 4
    assert export_labels(library, file) == 4


def test_the_trainer_reads_it(library: Library, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    say(library, "c", Zone.GREEN, 50)
    export_labels(library, file)
    read = read_labels(file, aliases={})
    read.check()
    assert [(label.audio_id, label.zone, label.origin) for label in read.labels] == [
        ("a", Zone.GREEN, LabelOrigin.CORRECTED),
        ("a", Zone.YELLOW, LabelOrigin.CORRECTED),
        ("c", Zone.GREEN, LabelOrigin.CORRECTED),
    ]
    assert {label.path for label in read.labels} == {MUSIC / "a.mp3", MUSIC / "c.mp3"}
    assert all(label.duration is None for label in read.labels)


def test_a_newer_label_is_never_overridden(library: Library, other: Library, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    export_labels(library, file)
    say(library, "a", Zone.PURPLE, 5)  # later, by a clock that was put back
    say(other, "a", Zone.PURPLE, 35)
    say(other, "b", Zone.GREEN, 15)
    assert import_labels(library, file) == ImportCounts(0, 4, 0, ())
    assert import_labels(other, file) == ImportCounts(2, 0, 2, ())
    assert [event.zone for event in other.labels("a")] == [Zone.PURPLE]
    assert [event.zone for event in other.labels("b")] == [Zone.GREEN, Zone.PURPLE, None]


def test_what_follows_a_known_entry_is_added(library: Library, other: Library, tmp_path: Path) -> None:
    export_labels(library, tmp_path / "first.csv")
    import_labels(other, tmp_path / "first.csv")
    say(library, "a", Zone.PURPLE, 5)  # by a clock that was put back
    export_labels(library, tmp_path / "second.csv")
    assert import_labels(other, tmp_path / "second.csv") == ImportCounts(1, 4, 0, ())
    assert other.labels("a") == library.labels("a")


def test_a_table_of_paths_and_zones(other: Library, tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("\ufeffPath;Zone\n/music/a.mp3;green\n/music/none.mp3;PURPLE\n\n/music/b.mp3;none\n")
    assert import_labels(other, file) == ImportCounts(2, 0, 0, ("/music/none.mp3",))
    (event,) = other.labels("a")
    assert (event.zone, event.origin, event.source) == (Zone.GREEN, LabelOrigin.IMPORTED, "csv")
    assert event.time_ns == file.stat().st_mtime_ns
    assert import_labels(other, file) == ImportCounts(0, 2, 0, ("/music/none.mp3",))
    os.utime(file, ns=(0, event.time_ns + 10**9))
    assert import_labels(other, file).added == 0
    say(other, "a", Zone.PURPLE, event.time_ns + 2 * 10**9)
    assert import_labels(other, file).added == 0


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "header"),
        ("path,colour\n", "header"),
        ("path,zone\na,green\nb,blue\n", "line 3: 'blue' is not a zone"),
        ("path,zone,origin\na,green,guessed\n", "line 2: the origin"),
        ("path,zone,time_ns\na,green,1.7E+18\n", "spreadsheet"),
        ("path,zone,time_ns\na,green,9999999999999999999\n", "spreadsheet"),
        ("\0\0", "header"),
    ],
)
def test_what_cannot_be_understood_adds_nothing(
    other: Library, tmp_path: Path, text: str, complaint: str
) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(text)
    with pytest.raises(UsageError, match=complaint):
        import_labels(other, file)
    assert other.labels() == []
    with pytest.raises(UsageError, match="name another file"):
        export_labels(other, file)
    assert file.read_text() == text


def test_files_that_are_not_there(library: Library, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        import_labels(library, tmp_path / "none.csv")
    with pytest.raises(UsageError, match="name another file"):
        export_labels(library, tmp_path / "none" / "labels.csv")


def test_an_export_of_another_library_is_not_replaced(
    library: Library, other: Library, tmp_path: Path
) -> None:
    file = tmp_path / "labels.csv"
    export_labels(library, file)
    before = file.read_bytes()
    with pytest.raises(UsageError, match="something else"):
        export_labels(other, file)
    assert file.read_bytes() == before
    say(library, "a", None, 60)
    assert export_labels(library, file) == 5


sources = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
said = st.tuples(
    st.sampled_from("abc"), st.none() | st.sampled_from(list(Zone)), sources, st.integers(-(2**62), 2**62)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(said, max_size=12, unique_by=lambda entry: entry[3]))
def test_any_history_comes_back(history: list[tuple[str, Zone | None, str, int]]) -> None:
    with (
        TemporaryDirectory() as folder,
        Library.open(Path(folder) / "one") as one,
        Library.open(Path(folder) / "two") as two,
    ):
        put(one, "a", "b", "c")
        put(two, "a", "b", "c")
        for audio_id, zone, source, time_ns in history:
            if zone:
                one.add_label(Label(audio_id, zone, LabelOrigin.ASKED, source, time_ns))
            else:
                one.retract_label(audio_id, source, time_ns)
        file = Path(folder) / "labels.csv"
        export_labels(one, file)
        assert export_labels(one, file) == len(history)
        assert import_labels(two, file).added == len(history)
        assert import_labels(two, file).added == 0
        assert all(two.labels(audio_id) == one.labels(audio_id) for audio_id in "abc")


def test_the_command(tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "labels.csv"
    with Library.open(home / "library.sqlite") as library:
        put(library, "a")
        say(library, "a", Zone.GREEN, 10)
    assert "1 entry saved" in fine(home, "labels", "export", file)
    assert json.loads(fine(home, "labels", "export", file, "--json"))["entries"] == 1
    assert "0 added, 1 known already" in fine(home, "labels", "import", file)
    with file.open("a") as more:
        more.write("z,/music/z.mp3,GREEN,asked,cli,11\r\n")
    done = run(home, "labels", "import", file)
    assert done.returncode == 1
    assert "not in the library: /music/z.mp3" in done.stdout
    done = run(home, "labels", "import", file, "--json")
    assert json.loads(done.stdout) == {
        "path": str(file),
        "added": 0,
        "known": 1,
        "older": 0,
        "unknown": ["/music/z.mp3"],
    }
    assert run(home, "labels", "import", tmp_path / "none.csv").returncode == 2
