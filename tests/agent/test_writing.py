"""Zones go into files that are what was scanned and say nothing else, and come out again without a trace."""

from __future__ import annotations

import csv
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mutagen
import pytest

from exporters.base import Want, WriteStatus
from exporters.tags.collection import TagSettings
from exporters.tags.edit import TagField, read_state
from exporters.undo import Outcome
from moodzone_agent import removal
from moodzone_agent.background import control
from moodzone_agent.background.single import AgentLock
from moodzone_agent.config import Places, Settings
from moodzone_agent.errors import JournalError, UsageError
from moodzone_agent.library.label_csv import export_labels
from moodzone_agent.library.records import FileStatus
from moodzone_agent.library.store import Library
from moodzone_agent.library.volumes import MountTable, Volume
from moodzone_agent.types import Label, LabelOrigin, Mark, MarkState, Zone
from moodzone_agent.undoing import undo_run
from moodzone_agent.writing import WriteResult, wanted
from tests.agent.conftest import ENDINGS, World, files_opened, make_track, no_root

ROOT = Path(__file__).resolve().parents[2]

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX only")


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def comment(path: Path, text: str) -> None:
    """Type a comment, as another program does."""
    tagged = mutagen.File(path)
    tagged["comment"] = [text]
    tagged.save()


def label(world: World, path: Path, zone: Zone | None) -> None:
    track = world.library.track_of(path)
    assert track is not None
    if zone is None:
        world.library.retract_label(track.audio_id, "test", 0)
    else:
        world.library.add_label(Label(track.audio_id, zone, LabelOrigin.CORRECTED, "test", 0))


def zone_of(world: World, path: Path) -> Zone:
    track = world.library.track_of(path)
    assert track is not None
    assert track.mark is not None
    return track.mark.zone


def another(zone: Zone) -> Zone:
    return next(other for other in Zone if other is not zone)


def outcomes(world: World, run: int | None = None) -> dict[str, Outcome]:
    results = undo_run(world.library, world.journal, Settings(), world.home / "backups", run)
    return {result.path.name: result.outcome for result in results}


def statuses(results: dict[str, WriteResult]) -> dict[str, str]:
    return {name: str(result.status) for name, result in results.items()}


def test_written_files_say_the_zone_and_are_unchanged_for_the_next_scan(
    world: World, originals: Path
) -> None:
    paths = [world.add(path) for path in sorted(originals.iterdir())]
    world.scan()
    results = world.write()
    assert set(statuses(results).values()) == {"written"}
    for path in paths:
        track, state = world.library.track_of(path), read_state(path)
        assert track is not None
        assert state.mark == track.mark
        assert state.token is not None
        assert state.token.zone is state.mark.zone  # type: ignore[union-attr]
        assert state.text == results[path.name].after
        assert (state.artist, state.title) == (track.artist, track.title)
    with files_opened() as opened:
        again = world.scan()
    assert world.reads == []
    assert not any(result.changed for result in again.values())
    assert not [path for path in opened if path.startswith(str(world.music))]

    written = digests(world.music)
    assert set(statuses(world.write()).values()) == {"unchanged"}
    assert digests(world.music) == written
    assert len(world.journal.runs()) == 1


def test_undo_restores_byte_for_byte_and_holds_back(world: World, originals: Path) -> None:
    paths = [world.add(path) for path in sorted(originals.iterdir())]
    before = digests(world.music)
    times = {path: path.stat().st_mtime_ns for path in paths}
    world.scan()
    world.write()
    assert outcomes(world) == {path.name: Outcome.RESTORED for path in paths}
    assert digests(world.music) == before
    assert {path: path.stat().st_mtime_ns for path in paths} == times
    with files_opened() as opened:
        world.scan()
    assert not [path for path in opened if path.startswith(str(world.music))]

    held = world.write()
    assert set(statuses(held).values()) == {"skipped"}
    assert "--again" in held["0.mp3"].reason
    assert statuses(world.write(world.music)) == statuses(held)
    assert digests(world.music) == before
    assert statuses(world.write(paths[0])) == {"0.mp3": "written"}
    assert statuses(world.write()) == statuses(held) | {"0.mp3": "unchanged"}
    assert set(statuses(world.write(again=True)).values()) == {"written", "unchanged"}
    assert set(statuses(world.write()).values()) == {"unchanged"}


def test_runs_are_undone_last_first(world: World, originals: Path) -> None:
    path = world.add(originals / "1.flac")
    before = path.read_bytes()
    world.scan()
    world.write()
    rated = path.read_bytes()
    label(world, path, another(zone_of(world, path)))
    world.write()
    assert path.read_bytes() != rated
    assert outcomes(world) == {"1.flac": Outcome.RESTORED}
    assert path.read_bytes() == rated
    assert outcomes(world) == {"1.flac": Outcome.RESTORED}
    assert path.read_bytes() == before
    assert outcomes(world) == {}
    with pytest.raises(UsageError, match="no run 99"):
        outcomes(world, 99)


def test_an_undo_that_is_undone_holds_nothing_back(world: World, originals: Path) -> None:
    path = world.add(originals / "1.flac")
    world.scan()
    world.write()
    written = path.read_bytes()
    outcomes(world)
    undo = next(run.id for run in world.journal.runs() if run.kind == "undo")
    assert outcomes(world, undo) == {"1.flac": Outcome.RESTORED}
    assert path.read_bytes() == written
    assert statuses(world.write()) == {"1.flac": "unchanged"}


def test_the_users_word_beats_the_models(world: World, originals: Path) -> None:
    path = world.add(originals / "1.flac")
    world.scan()
    rated = zone_of(world, path)
    label(world, path, another(rated))
    assert statuses(world.write()) == {"1.flac": "written"}
    assert read_state(path).mark == Mark(another(rated), MarkState.LABELLED)
    label(world, path, None)
    assert statuses(world.write()) == {"1.flac": "written"}
    assert read_state(path).mark.zone is rated  # type: ignore[union-attr]


@pytest.mark.parametrize("written_before", [True, False])
def test_a_token_that_the_user_typed_is_left_alone(
    world: World, originals: Path, written_before: bool
) -> None:
    path = world.add(originals / "1.flac")
    world.scan()
    rated = zone_of(world, path)
    if written_before:
        world.write()
    comment(path, f"great #{another(rated).lower()} tune")
    world.scan()
    before = path.read_bytes()
    result = world.write()["1.flac"]
    assert result.status is WriteStatus.KEPT
    assert f"moodzone label FILE {another(rated).lower()}" in result.reason
    assert path.read_bytes() == before

    label(world, path, another(rated))
    assert statuses(world.write()) == {"1.flac": "written"}
    state = read_state(path)
    assert state.text == f"great #{another(rated).lower()} tune"
    assert state.mark == Mark(another(rated), MarkState.LABELLED)


def test_a_token_of_the_same_zone_is_the_users_too(world: World, originals: Path) -> None:
    path = world.add(originals / "1.flac")
    world.scan()
    rated = zone_of(world, path)
    comment(path, f"my #{rated.lower()} ones")
    world.scan()
    before = path.read_bytes()
    result = world.write()["1.flac"]
    assert (result.status, result.after) == (WriteStatus.KEPT, result.before)
    assert f"somebody put #{rated}" in result.reason
    assert "take the token out of the comment" in result.reason
    assert path.read_bytes() == before
    label(world, path, rated)
    assert statuses(world.write()) == {"1.flac": "written"}
    assert statuses(world.write()) == {"1.flac": "unchanged"}
    assert read_state(path).text == f"my #{rated.lower()} ones"
    assert outcomes(world) == {"1.flac": Outcome.RESTORED}
    assert path.read_bytes() == before


@pytest.mark.parametrize("how", ["edited", "vanished", "never scanned"])
def test_a_file_that_is_not_what_was_scanned_is_refused(world: World, originals: Path, how: str) -> None:
    path = world.add(originals / "1.flac")
    world.scan()
    wants = [item for item in wanted(world.library, None) if isinstance(item, Want)]
    assert [want.path for want in wants] == [path]
    if how == "edited":
        comment(path, "other words")
    elif how == "vanished":
        path.unlink()
    else:
        record = world.library.file(path)
        assert record is not None
        record.path.rename(world.music / "elsewhere.flac")
        shutil.copyfile(originals / "3.ogg", path)
    before = digests(world.music)
    result = world.write()["1.flac"]
    assert result.status is WriteStatus.FAILED
    assert ("vanished" if how == "vanished" else "scan it again") in result.reason
    assert digests(world.music) == before


def test_after_foreign_edits_undo_takes_out_only_ours(world: World, originals: Path) -> None:
    edited, corrected, retuned = (world.add(originals / name) for name in ("1.flac", "3.ogg", "4.opus"))
    world.scan()
    world.write()
    tags = mutagen.File(edited)
    tags["rating"] = ["5"]
    tags.save()
    mine = another(zone_of(world, corrected))
    comment(corrected, f"8A - 7 #{mine}")
    make_track(retuned, seed=77, tags={"comment": f"#{zone_of(world, retuned)} "})
    assert set(outcomes(world).values()) <= {Outcome.TAKEN_OUT, Outcome.ALREADY}
    assert read_state(edited).mark is None
    assert read_state(edited).token is None
    assert read_state(edited).text == "8A - 7"
    assert mutagen.File(edited)["rating"] == ["5"]
    assert read_state(corrected).mark is None
    assert read_state(corrected).text == f"8A - 7 #{mine}"

    old = world.library.track_of(retuned)
    after = world.scan()["4.opus"].track
    assert old is not None
    assert after is not None
    assert after.audio_id != old.audio_id, "the undo hid from the scan that the audio is another"


def test_undo_follows_a_file_that_was_moved(world: World, originals: Path) -> None:
    path = world.add(originals / "1.flac")
    before = path.read_bytes()
    world.scan()
    world.write()
    moved = world.music / "moved.flac"
    path.rename(moved)
    world.add(originals / "1.flac", "an unmarked copy.flac")
    world.scan()
    assert outcomes(world) == {"moved.flac": Outcome.RESTORED}
    assert moved.read_bytes() == before


def test_a_correction_survives_the_undo_of_all_writes(world: World, originals: Path) -> None:
    path = world.add(originals / "1.flac")
    world.scan()
    world.write()
    rated = zone_of(world, path)
    label(world, path, another(rated))
    world.write()
    comment(path, f"my words #{rated}")
    assert outcomes(world) == {"1.flac": Outcome.TAKEN_OUT}
    assert outcomes(world) == {"1.flac": Outcome.ALREADY}
    assert (read_state(path).text, read_state(path).mark) == (f"my words #{rated}", None)


def test_undo_takes_no_token_out_of_a_file_without_our_field(world: World, originals: Path) -> None:
    """The user's own copy came back, from a time before the first write, and was edited."""
    path = world.add(originals / "1.flac")
    world.scan()
    world.write()
    world.add(originals / "1.flac")
    comment(path, f"opener #{zone_of(world, path)}")
    before = path.read_bytes()
    assert outcomes(world) == {"1.flac": Outcome.ALREADY}
    assert path.read_bytes() == before


def test_undo_waits_for_the_drive(world: World, originals: Path) -> None:
    """Where it was, another drive is now, with a file of the same name; and there is a copy elsewhere."""
    stick, aside = world.music / "stick", world.home.parent / "aside"
    path = world.add(originals / "1.flac", "stick/1.flac")
    before = path.read_bytes()
    mounted = [Volume("disk", Path("/")), Volume("one", stick)]
    world.library.close()
    world.library = Library.open(world.home / "library.sqlite", mounts=MountTable(lambda: mounted))
    with world.library:
        world.scan()
        world.write()
        marked = path.read_bytes()
        copy = world.add(path, "copy.flac")
        stick.rename(aside)
        for other in (None, Volume("two", stick)):
            mounted[1:] = [other] if other else []
            if other:
                world.add(copy, "stick/1.flac")
            world.scan()
            [result] = undo_run(world.library, world.journal, Settings(), world.home / "backups")
            assert (result.outcome, "plug it in" in result.reason) == (Outcome.FAILED, True)
            assert copy.read_bytes() == marked
        assert path.read_bytes() == marked
        mounted.append(Volume("one", aside))
        [result] = undo_run(world.library, world.journal, Settings(), world.home / "backups")
        assert (result.outcome, result.path) == (Outcome.RESTORED, aside / "1.flac")
        assert (aside / "1.flac").read_bytes() == before
        assert copy.read_bytes() == path.read_bytes() == marked


def test_undo_does_not_take_another_copy_for_a_deleted_file(world: World, originals: Path) -> None:
    one, two = world.add(originals / "1.flac", "a.flac"), world.add(originals / "1.flac", "b.flac")
    before = two.read_bytes()
    os.utime(two, ns=(10**18, 10**18))
    world.scan()
    world.write()
    one.unlink()
    world.scan()
    assert outcomes(world) == {"a.flac": Outcome.FAILED, "b.flac": Outcome.RESTORED}
    assert two.read_bytes() == before
    assert two.stat().st_mtime_ns == 10**18


def test_token_in_another_field_and_dates_as_set(world: World, originals: Path) -> None:
    path = world.add(originals / "1.flac")
    os.utime(path, ns=(10**18, 10**18))
    before = path.read_bytes()
    world.scan()
    from exporters.atomic import Times

    settings = TagSettings(field=TagField.GROUPING, times=Times.KEEP)
    assert statuses(world.write(settings=settings)) == {"1.flac": "written"}
    assert read_state(path, field=TagField.GROUPING).token is not None
    assert read_state(path).text == "8A - 7"
    assert path.stat().st_mtime_ns == 10**18
    tags = mutagen.File(path)
    tags["rating"] = ["5"]
    tags.save()
    undo_run(
        world.library, world.journal, Settings(), world.home / "backups"
    )  # the settings are others by now
    assert read_state(path, field=TagField.GROUPING).token is None
    assert read_state(path).mark is None
    assert path.read_bytes() != before


def test_read_only_files_stay_and_the_rest_is_written(world: World, originals: Path) -> None:
    locked, free = world.add(originals / "1.flac"), world.add(originals / "0.mp3")
    world.scan()
    locked.chmod(0o444)
    world.scan()
    before = locked.read_bytes()
    results = world.write()
    assert statuses(results) == {"1.flac": "failed", "0.mp3": "written"}
    assert "read-only" in results["1.flac"].reason
    assert locked.read_bytes() == before
    assert read_state(free).mark is not None


def test_one_file_named_through_several_roots_is_written_once(world: World, originals: Path) -> None:
    path = world.add(originals / "1.flac", "a/1.flac")
    world.add(originals / "0.mp3", "b/0.mp3")
    world.scan()
    chosen = list(wanted(world.library, [world.music / "a", path, path.parent / ".." / "a"]))
    assert [item.path for item in chosen] == [path]
    assert list(wanted(world.library, [world.music / "none"])) == []


def test_a_players_stick_is_written_only_when_named(world: World, originals: Path) -> None:
    stick = world.music / "stick"
    (stick / "PIONEER" / "rekordbox").mkdir(parents=True)
    on_stick = world.add(originals / "1.flac", "stick/Contents/1.flac")
    world.add(originals / "0.mp3")
    world.library.close()
    mounts = MountTable(lambda: [Volume("disk", Path("/")), Volume("stick", stick)])
    world.library = Library.open(world.home / "library.sqlite", mounts=mounts)
    with world.library:
        world.scan()
        for roots in ((), (world.music,)):
            results = world.write(*roots)
            assert results["stick/Contents/1.flac"].status is WriteStatus.SKIPPED
            assert "name the stick" in results["stick/Contents/1.flac"].reason
            assert results["0.mp3"].status is not WriteStatus.SKIPPED
        assert read_state(on_stick).mark is None
        assert statuses(world.write(stick / "Contents")) == {"stick/Contents/1.flac": "written"}


def remove(world: World, *, dry_run: bool = False, forget_missing: bool = False) -> dict[str, str]:
    places = Places.under(world.home)
    results = removal.remove_everything(
        world.library, places, Settings(), dry_run=dry_run, forget_missing=forget_missing
    )
    return {result.path.name: str(result.status) for result in results}


def test_remove_leaves_no_trace(world: World, originals: Path) -> None:
    paths = [world.add(path) for path in sorted(originals.iterdir())]
    before = digests(world.music)
    (world.home / "settings.toml").write_text("[tags]\n")
    world.scan()
    world.write()
    label(world, paths[1], another(zone_of(world, paths[1])))
    world.write()
    marked = digests(world.music)
    assert remove(world, dry_run=True) == {path.name: "written" for path in paths}
    assert digests(world.music) == marked
    assert remove(world) == {path.name: "written" for path in paths}
    assert digests(world.music) == before
    assert not world.home.exists()


def test_remove_takes_marks_out_that_no_journal_knows(world: World, originals: Path) -> None:
    path = world.add(originals / "1.flac")
    world.scan()
    world.write()
    shutil.rmtree(world.home / "journal")
    assert remove(world) == {"1.flac": "written"}
    assert read_state(path).mark is None
    assert read_state(path).text == "8A - 7"
    assert not world.home.exists()


def test_remove_keeps_the_library_while_a_marked_file_is_away(world: World, originals: Path) -> None:
    path, other = world.add(originals / "1.flac"), world.add(originals / "0.mp3")
    before = path.read_bytes()
    world.scan()
    world.write()
    aside = world.home.parent / "aside.flac"
    path.rename(aside)
    for _ in range(2):
        results = remove(world)
        assert results["1.flac"] == "failed"
        assert read_state(other).mark is None
        assert world.library.track_of(path) is not None
    aside.rename(path)
    assert remove(world) == {"1.flac": "written"}
    assert path.read_bytes() == before
    assert not world.home.exists()


def test_remove_can_forget_what_is_gone_for_good(world: World, originals: Path) -> None:
    path = world.add(originals / "1.flac")
    world.scan()
    world.write()
    path.unlink()
    assert remove(world) == {"1.flac": "failed"}
    assert remove(world, forget_missing=True) == {"1.flac": "skipped"}
    assert not world.home.exists()


@posix
@pytest.mark.parametrize("what", ["file", "folder"])
@pytest.mark.parametrize("journal", [True, False])
def test_remove_waits_for_what_it_cannot_read(
    world: World, originals: Path, what: str, journal: bool
) -> None:
    path = world.add(originals / "1.flac", "shut/1.flac")
    world.scan()
    world.write()
    if not journal:
        shutil.rmtree(world.home / "journal")
    shut = path if what == "file" else path.parent
    for opened in (world.home, *world.home.rglob("*")):
        opened.chmod(0o777)
    shut.chmod(0)
    with no_root():
        assert remove(world) == {"1.flac": "failed"}
        assert remove(world, forget_missing=True) == {"1.flac": "failed"}
    shut.chmod(0o755)
    assert world.library.track_of(path) is not None
    assert remove(world) == {"1.flac": "written"}
    assert read_state(path).mark is None
    assert not world.home.exists()


def test_remove_finds_marks_in_files_whose_last_scan_failed(world: World, originals: Path) -> None:
    path = world.add(originals / "1.flac")
    world.scan()
    world.write()
    shutil.rmtree(world.home / "journal")
    marked = path.read_bytes()
    path.write_bytes(marked[:8])
    assert world.scan()["1.flac"].status is FileStatus.FAILED
    assert remove(world) == {"1.flac": "failed"}
    path.unlink()
    assert remove(world) == {"1.flac": "failed"}
    path.write_bytes(marked[: len(marked) * 3 // 4])
    assert remove(world) == {"1.flac": "written"}
    assert read_state(path).mark is None
    assert not world.home.exists()


@pytest.mark.parametrize("rescanned", [True, False])
def test_remove_wants_moved_files_rescanned(world: World, originals: Path, rescanned: bool) -> None:
    path = world.add(originals / "1.flac")
    broken = world.music / "broken.mp3"
    broken.write_bytes(b"was never music")
    world.scan()
    world.write()
    shutil.rmtree(world.home / "journal")
    moved = path.rename(world.music / "moved.flac")
    if not rescanned:
        assert remove(world) == {"1.flac": "failed"}
        assert world.library.track_of(path) is not None
    world.scan()
    assert remove(world) == {"moved.flac": "written"}
    assert read_state(moved).mark is None
    assert not world.home.exists()


def test_remove_spares_what_is_not_ours(world: World, originals: Path) -> None:
    world.add(originals / "1.flac")
    world.scan()
    world.write()
    diary = world.home / "journal" / "2024-01" / "diary.txt"
    diary.parent.mkdir()
    diary.write_text("Dear diary")
    assert remove(world) == {"1.flac": "written"}
    assert [path for path in world.home.rglob("*") if path.is_file()] == [diary]


def test_remove_takes_what_the_agent_keeps_and_wants_it_stopped(world: World, originals: Path) -> None:
    world.add(originals / "1.flac")
    world.scan()
    world.write()
    places = Places.under(world.home)
    control.pause(places)
    control.request(places, control.Request.FLUSH)
    control.write_status(places, control.AgentStatus(pid=1))
    (places.agent / ".mz-0123abcd.tmp").touch()
    with AgentLock(places), pytest.raises(UsageError, match="agent stop"):
        remove(world)
    assert remove(world, dry_run=True) == {"1.flac": "written"}
    assert control.paused_since(places)
    assert remove(world) == {"1.flac": "written"}
    assert not world.home.exists()


def test_nobody_writes_while_marks_are_removed(
    world: World, originals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each run is undone, before the last look for marks, and before the library is deleted."""
    paths = [world.add(originals / name) for name in ("0.mp3", "1.flac")]
    world.scan()
    world.write(paths[0])
    world.write()
    steps = []

    def watch(name: str, step: Callable[..., object]) -> None:
        def tried(*arguments: object) -> object:
            with pytest.raises(JournalError, match="remove"):
                world.journal.start("write")
            steps.append(name)
            return step(*arguments)

        monkeypatch.setattr(removal, name, tried)

    for name in ("undo_run", "_look", "_delete"):
        watch(name, getattr(removal, name))
    assert remove(world) == {"0.mp3": "written", "1.flac": "written"}
    assert steps == ["undo_run", "undo_run", "_look", "_delete"]


def test_after_a_remove_that_failed_undo_brings_no_mark_back(world: World, originals: Path) -> None:
    path, lost = world.add(originals / "1.flac"), world.add(originals / "0.mp3")
    world.scan()
    world.write()
    comment(path, "edited")
    for run in world.journal.runs():
        shutil.rmtree(world.home / "journal" / f"{run.id:06}")
    lost.unlink()
    assert remove(world) == {"1.flac": "written", "0.mp3": "failed"}
    assert read_state(path).mark is None
    assert outcomes(world) == {}
    assert read_state(path).mark is None


def test_remove_asks_for_drives_that_are_away(world: World, originals: Path) -> None:
    stick = world.music / "stick"
    path = world.add(originals / "1.flac", "stick/1.flac")
    disk = Volume("disk", Path("/"))
    mounted = [disk, Volume("stick", stick)]
    world.library.close()
    world.library = Library.open(world.home / "library.sqlite", mounts=MountTable(lambda: mounted))
    with world.library:
        world.scan()
        world.write()
        shutil.rmtree(world.home / "journal")
        mounted.remove(mounted[1])
        stick.rename(world.home.parent / "away")
        world.library.mounts.refresh()
        assert remove(world) == {"1.flac": "failed"}
        assert world.library.track_of(path) is None
        assert [track.away for track in world.library.tracks()] == [(path,)]


def test_labels_are_saved(world: World, originals: Path, tmp_path: Path) -> None:
    path = world.add(
        originals / "1.flac", os.fsdecode(b"caf\xe9 \n.flac") if os.name != "nt" else "café.flac"
    )
    world.add(originals / "0.mp3")
    world.scan()
    label(world, path, Zone.PURPLE)
    export_labels(world.library, tmp_path / "labels.csv")
    with (tmp_path / "labels.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = list(csv.DictReader(file))
    assert [(row["path"], row["zone"], row["origin"]) for row in rows] == [(str(path), "PURPLE", "corrected")]
    label(world, path, Zone.GREEN)
    export_labels(world.library, tmp_path / "labels.csv")  # the earlier try failed later on
    saved = (tmp_path / "labels.csv").read_bytes()
    assert b"GREEN" in saved
    foreign = saved.replace(rows[0]["audio_id"].encode(), b"another library's")
    for content in (b"", b"path,zone\n", b"\x00\xff", saved.splitlines()[0][:-1], foreign):
        (tmp_path / "labels.csv").write_bytes(content)
        with pytest.raises(UsageError, match="name another file"):
            export_labels(world.library, tmp_path / "labels.csv")
        assert (tmp_path / "labels.csv").read_bytes() == content
    with pytest.raises(UsageError, match="name another file"):
        export_labels(world.library, tmp_path / "none" / "labels.csv")
    assert [each.name for each in tmp_path.iterdir()] == ["labels.csv"]


_MAIN = "import sys; from moodzone_agent.cli import main; main()"


def _moodzone(home: Path, *arguments: str, prelude: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", prelude + _MAIN, *arguments],
        env={**os.environ, "MOODZONE_HOME": str(home), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=home,
    )


@posix
def test_on_a_full_disk_files_stay_as_they_were(world: World) -> None:
    """No file may grow beyond a megabyte: it ends the copy of a large one as a full disk does."""
    large = make_track(world.music / "large.wav", seed=1, seconds=8)
    small = make_track(world.music / "small.mp3", seed=2)
    assert large.stat().st_size > 1_000_000
    before = large.read_bytes()
    world.scan()
    world.library.close()
    prelude = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6))\n"
    process = _moodzone(world.home, "write", "--all", "--yes", prelude=prelude)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    assert "1 written · 0 unchanged · 0 skipped · 1 failed" in out
    assert f"failed {large}: larger than" in out
    assert "Traceback" not in errors
    assert large.read_bytes() == before
    assert read_state(small).mark is not None
    assert sorted(path.name for path in world.music.iterdir()) == ["large.wav", "small.mp3"]


@posix
def test_killed_at_any_moment_every_file_is_old_or_new(world: World, originals: Path) -> None:
    """A moment is a step with a temporary file, or with the folder when the file has been replaced."""
    for index in range(30):
        world.add(originals / f"{index % 7}{ENDINGS[index % 7]}", f"{index}{ENDINGS[index % 7]}")
    old = digests(world.music)
    world.scan()
    world.library.close()
    choose = random.Random(4)
    new: dict[str, str] = {}
    for left in choose.sample(range(1, 40), 3):
        prelude = f"""
import os, signal, sys
left = {left}
def hook(event, arguments):
    global left
    if arguments and (".mz-" in str(arguments[0]) or str(arguments[0]).endswith("/music")):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
"""
        process = _moodzone(world.home, "write", "--all", "--yes", prelude=prelude)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, errors
        now = digests(world.music)
        assert [name for name in now if name not in old and not name.startswith(".mz-")] == []
        assert set(old) <= set(now)
        for name in old:
            assert read_state(world.music / name).title.startswith("Track")
            if now[name] != old[name]:
                assert now[name] == new.setdefault(name, now[name])
    assert 0 < len(new) < 30
    process = _moodzone(world.home, "write", "--all", "--yes")
    out, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, ""), out
    now = digests(world.music)
    assert set(now) == set(old)
    assert {name for name in old if now[name] == old[name]} == set()
    assert all(now[name] == new[name] for name in new)

    with Library.open(world.home / "library.sqlite") as world.library:
        while outcomes(world):
            pass
        assert digests(world.music) == old
        assert all(world.library.file(world.music / name).status is FileStatus.OK for name in old)  # type: ignore[union-attr]
