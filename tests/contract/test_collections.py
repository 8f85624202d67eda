"""What every collection keeps to, whatever its format."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path

import pytest

from exporters.base import Change, Collection, Field, Place, Want, WriteStatus
from exporters.journal import Changed, Journal, Run
from exporters.registry import TARGETS
from exporters.tags.edit import apply_mark
from exporters.undo import Outcome, UndoResult, undo
from moodzone_agent.errors import CollectionError
from moodzone_agent.types import Mark, MarkState, Zone
from tests.contract.cases import Case

MARKS = (
    Mark(Zone.YELLOW),
    Mark(Zone.GREEN),
    Mark(Zone.PURPLE, MarkState.LABELLED),
    Mark(Zone.GREEN, MarkState.UNSURE),
)
WRITTEN, UNCHANGED, KEPT = WriteStatus.WRITTEN, WriteStatus.UNCHANGED, WriteStatus.KEPT


class Writer:
    """Writes as the agent does: it remembers what of a collection is its own."""

    def __init__(self, folder: Path) -> None:
        self.journal = Journal(folder / "journal")
        self.backups = folder / "backups"
        self.ours: dict[Place, set[str]] = {}

    def wants(self, marks: Iterable[tuple[Path, Mark | None]]) -> list[Want]:
        return [
            Want(
                track,
                mark,
                {field: frozenset(self.ours.get(Place(track, field), ())) for field in Field},
                artist="Ärzte",
                title="Ton",
                duration=0.2,
            )
            for track, mark in marks
        ]

    def plan(self, collection: Collection, marks: Iterable[tuple[Path, Mark | None]]) -> list[Change]:
        return list(collection.preview(self.wants(marks)))

    def carry_out(self, collection: Collection, changes: list[Change]) -> list[Change]:
        with self.journal.start("write") as run:
            done = list(collection.write(changes, run, self.backups))
        for change in done:
            if change.status is WRITTEN and change.ours:
                self.ours.setdefault(change.place, set()).add(change.ours)
        return done

    def write(self, collection: Collection, marks: Iterable[tuple[Path, Mark | None]]) -> list[Change]:
        return self.carry_out(collection, self.plan(collection, marks))

    def undo(self, collection: Collection) -> list[UndoResult]:
        def put_back(name: str, changed: list[Changed], run: Run) -> dict[str, str]:
            assert name == collection.name
            collection.put_back(changed, run, self.backups)
            return {}

        return undo(self.journal, take_out=lambda copy, _: apply_mark(copy, None), put_back=put_back)


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path)


def marks_of(collection: Collection, tracks: list[Path]) -> dict[Place, tuple[Mark, ...]]:
    return {sight.place: sight.marks for sight in collection.read() if sight.place.track in tracks}


def values(collection: Collection) -> dict[Place, str]:
    return {sight.place: sight.value for sight in collection.read() if sight.value}


def test_write_then_read_gives_the_same_zones(case: Case, writer: Writer) -> None:
    collection, tracks = case.make()
    done = writer.write(collection, zip(tracks, MARKS, strict=True))
    assert {change.status for change in done} == {WRITTEN}
    found = marks_of(case.open(), tracks)
    for track, mark in zip(tracks, MARKS, strict=True):
        shown = {place.field: marks for place, marks in found.items() if place.track == track}
        assert collection.carries <= set(shown) <= collection.carries | collection.reads
        for field, marks in shown.items():
            if field in collection.reads:
                continue
            unsure_list = field is Field.LIST and mark.state is MarkState.UNSURE
            assert [found.zone for found in marks] == ([] if unsure_list else [mark.zone])


def test_writing_twice_changes_nothing(case: Case, writer: Writer) -> None:
    collection, tracks = case.make()
    writer.write(collection, zip(tracks, MARKS, strict=True))
    once = case.bytes()
    done = writer.write(case.open(), zip(tracks, MARKS, strict=True))
    assert {change.status for change in done} == {UNCHANGED}
    assert case.bytes() == once


def test_preview_writes_nothing_and_tells_what_write_does(case: Case, writer: Writer) -> None:
    collection, tracks = case.make()
    before = case.bytes()
    planned = writer.plan(collection, zip(tracks, MARKS, strict=True))
    assert case.bytes() == before
    done = writer.carry_out(collection, planned)
    assert sorted(map(repr, done)) == sorted(map(repr, planned))
    found = values(case.open())
    for change in done:
        assert found[change.place] == change.after


def test_a_new_zone_replaces_the_old_one(case: Case, writer: Writer) -> None:
    collection, tracks = case.make()
    writer.write(collection, zip(tracks, MARKS, strict=True))
    turned = list(zip(tracks, reversed(MARKS), strict=True))
    assert {change.status for change in writer.write(case.open(), turned)} == {WRITTEN}
    found = marks_of(case.open(), tracks)
    for place, marks in found.items():
        if place.field in collection.reads:
            continue
        wanted = dict(turned)[place.track]
        unsure_list = place.field is Field.LIST and wanted.state is MarkState.UNSURE
        assert [mark.zone for mark in marks] == ([] if unsure_list else [wanted.zone])


def test_taking_out_leaves_what_was_there(case: Case, writer: Writer) -> None:
    collection, tracks = case.make()
    before, stood = case.contents(), values(collection)
    writer.write(collection, zip(tracks, MARKS, strict=True))
    assert values(case.open()) != stood
    writer.write(case.open(), [(track, None) for track in tracks])
    assert values(case.open()) == stood
    if case.exact:
        assert case.contents() == before


def test_what_the_user_put_there_stays_and_is_handed_back(case: Case, writer: Writer) -> None:
    collection, tracks = case.make()
    for field in sorted(collection.carries - {Field.OWN}):
        case.edit(Place(tracks[0], field), case.theirs(field))
    before = case.bytes()
    done = writer.write(case.open(), [(tracks[0], Mark(Zone.YELLOW))])
    assert {change.status for change in done} == {KEPT}
    assert {change.before for change in done} == {case.theirs(change.field) for change in done}
    assert case.bytes() == before


def test_a_correction_between_preview_and_write_wins(case: Case, writer: Writer) -> None:
    collection, tracks = case.make()
    writer.write(collection, [(track, Mark(Zone.GREEN)) for track in tracks])
    planned = writer.plan(case.open(), [(track, Mark(Zone.YELLOW)) for track in tracks])
    field = sorted(collection.carries - {Field.OWN})[0]
    case.edit(Place(tracks[1], field), case.theirs(field))
    done = {change.place: change for change in writer.carry_out(case.open(), planned)}
    corrected = done.pop(Place(tracks[1], field))
    assert (corrected.status, corrected.before) == (KEPT, case.theirs(field))
    assert {change.status for change in done.values()} == {WRITTEN}
    assert [mark.zone for mark in marks_of(case.open(), tracks)[corrected.place]] == [Zone.PURPLE]


def test_undo_gives_back_the_bytes(case: Case, writer: Writer) -> None:
    collection, tracks = case.make()
    before, stood = case.contents(), values(collection)
    writer.write(collection, zip(tracks, MARKS, strict=True))
    results = writer.undo(case.open())
    assert {result.outcome for result in results} == {Outcome.PUT_BACK if case.in_place else Outcome.RESTORED}
    assert values(case.open()) == stood
    if case.whole:
        assert case.contents() == before


def test_undo_of_a_second_write_gives_back_the_first(case: Case, writer: Writer) -> None:
    collection, tracks = case.make()
    writer.write(collection, zip(tracks, MARKS, strict=True))
    before, stood = case.contents(), values(collection)
    writer.write(case.open(), zip(tracks, reversed(MARKS), strict=True))
    results = writer.undo(case.open())
    assert {result.outcome for result in results} == {Outcome.PUT_BACK if case.in_place else Outcome.RESTORED}
    assert len({result.path for result in results}) == len(results)
    assert values(case.open()) == stood
    if not case.in_place:  # else rows that were taken out and put in again have other numbers
        assert case.contents() == before


def test_undo_leaves_later_work(case: Case, writer: Writer) -> None:
    collection, tracks = case.make()
    stood = values(collection)
    writer.write(collection, [(track, Mark(Zone.GREEN)) for track in tracks])
    field = sorted(collection.carries - {Field.OWN})[0]
    case.edit(Place(tracks[1], field), case.theirs(field))
    writer.undo(case.open())
    found = values(case.open())
    assert found.pop(Place(tracks[1], field)) == case.theirs(field)
    others = {place: value for place, value in found.items() if place.track != tracks[1]}
    assert others == {place: value for place, value in stood.items() if place.track != tracks[1]}


def test_an_unknown_version_is_refused(case: Case, writer: Writer) -> None:
    _, tracks = case.make()
    collection = case.of_another_version()
    if collection is None:
        pytest.skip("the format has no versions")
    before = case.bytes()
    for use in (
        collection.version,
        lambda: list(collection.read()),
        lambda: writer.write(collection, [(tracks[0], MARKS[0])]),
    ):
        with pytest.raises(CollectionError):
            use()
    assert case.bytes() == before


def test_a_file_cut_at_any_byte_is_refused_or_mended(case: Case, writer: Writer) -> None:
    collection, tracks = case.make()
    marked = list(zip(tracks, MARKS, strict=True))
    writer.write(collection, marked)
    whole = case.bytes()
    for path in case.breakable():
        name = str(path.relative_to(case.folder))
        for length in range(0, len(whole[name]), max(1, len(whole[name]) // 100)):
            path.write_bytes(whole[name][:length])
            cut = case.bytes()
            try:
                done = writer.write(case.open(), marked)
                list(case.open().read())
            except CollectionError:
                assert case.bytes() == cut
            else:
                assert {change.status for change in done} <= {WRITTEN, UNCHANGED}
                assert {**case.bytes(), name: b""} == {**whole, name: b""}
            case.restore(whole)


FULL_DISK = """
    import re, resource, signal, sys
    from pathlib import Path
    from tests.contract.cases import CASES
    from tests.contract.test_collections import MARKS, WRITTEN, Writer, values
    from moodzone_agent.errors import MoodZoneError

    def contents():  # without the times at which rows of databases were written
        times = re.compile(rb"'[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}'")
        return {file: times.sub(b"", content) for file, content in case.contents().items()}

    def limit_files(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    name, tones, folder = sys.argv[1:]
    case = next(case for case in CASES if case.name == name)(Path(tones), Path(folder) / "machine")
    collection, tracks = case.make()
    before, old = case.bytes(), contents()
    Writer(Path(folder) / "full").write(collection, zip(tracks, MARKS))
    new = contents()
    full = case.bytes()
    sizes = {len(content) for file in full if full[file] != before.get(file)
             for content in (before.get(file, b""), full[file])}
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for limit in sorted({0, 100, 300, 1000} | sizes | {size - 1 for size in sizes if size}):
        case.restore(before)
        writer = Writer(Path(folder) / str(limit))
        planned = writer.plan(case.open(), zip(tracks, MARKS))
        limit_files(limit)
        try:
            done = writer.carry_out(case.open(), planned)
        except MoodZoneError:
            done = []
        limit_files(resource.RLIM_INFINITY)
        after = contents()
        assert old.keys() <= after.keys() <= old.keys() | new.keys(), (limit, after.keys())
        for file, content in after.items():
            assert content in (old.get(file), new.get(file)), f"{file} is neither old nor new at {limit}"
        assert after == old or writer.journal.runs(), limit
        found = values(case.open())
        for change in done:
            expected = change.after if change.status is WRITTEN else change.before
            assert found.get(change.place, "") == expected, (limit, change)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files")
def test_a_disk_that_is_full_leaves_every_file_as_it_was_or_written_whole(
    case: Case, tones: Path, tmp_path: Path
) -> None:
    code = textwrap.dedent(FULL_DISK)
    done = subprocess.run(
        [sys.executable, "-c", code, case.name, str(tones), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert done.returncode == 0, done.stderr


def test_a_backup_is_made_of_what_is_replaced(case: Case, writer: Writer) -> None:
    collection, tracks = case.make()
    writer.write(collection, [(track, Mark(Zone.GREEN)) for track in tracks])
    held = {file: case.content(file.read_bytes()) for file in collection.files() if file.exists()}
    writer.write(case.open(), [(track, Mark(Zone.PURPLE)) for track in tracks])
    if held:
        newest = max(writer.backups.iterdir(), key=lambda folder: int(folder.name.split(" ")[1]))
        if case.whole:
            copies = [case.content(copy.read_bytes()) for copy in newest.iterdir()]
            assert sorted(copies) == sorted(held.values())
        else:
            assert {copy.name for copy in newest.iterdir()} == {file.name for file in held}
    else:
        assert not writer.backups.exists() or not list(writer.backups.iterdir())


def test_reading_needs_no_leave_to_write(case: Case, writer: Writer) -> None:
    collection, tracks = case.make()
    writer.write(collection, zip(tracks, MARKS, strict=True))
    found = values(case.open())
    paths = [case.folder, *case.folder.rglob("*")]
    modes = {path: path.stat().st_mode for path in paths}
    try:
        for path in paths:
            path.chmod(0o555 if path.is_dir() else 0o444)
        before = case.bytes()
        assert values(case.open()) == found
        assert case.bytes() == before
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


def test_a_program_that_runs_is_not_written_under(
    case: Case, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection, tracks = case.make()
    if collection.program is None:
        pytest.skip("no program owns it")
    name = sorted(collection.program.processes)[0]
    monkeypatch.setattr("exporters.programs.running_processes", lambda: ["init", f"{name.title()}.exe"])
    before = case.bytes()
    with pytest.raises(CollectionError, match="is running"):
        writer.write(collection, zip(tracks, MARKS, strict=True))
    assert case.bytes() == before
    assert list(case.open().read())
    monkeypatch.setattr("exporters.programs.running_processes", lambda: [f"{name}agent", f"{name} helper"])
    assert {change.status for change in writer.write(collection, zip(tracks, MARKS, strict=True))} == {
        WRITTEN
    }


def test_a_track_that_is_unknown_is_skipped_or_added(case: Case, writer: Writer) -> None:
    collection, _ = case.make()
    before = values(collection)
    done = writer.write(collection, [(case.folder / "not there.mp3", MARKS[0])])
    added = {change.place for change in done if change.status is WRITTEN}
    assert {change.status for change in done} <= {WRITTEN, WriteStatus.SKIPPED, WriteStatus.FAILED}
    assert {place: value for place, value in values(case.open()).items() if place not in added} == before


def test_every_target_says_what_is_to_be_known_after_a_write() -> None:
    for target in TARGETS.values():
        assert target.after, target.name
        assert all(0 < len(line.strip()) <= 125 for line in target.after), target.name
    for name in ("rekordbox-xml", "rekordbox-db"):
        assert any("Never Reload Tag on the whole collection" in line for line in TARGETS[name].after), name
