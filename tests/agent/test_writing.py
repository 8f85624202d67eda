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
from pathlib import Path

import mutagen
import pytest

from exporters.tags.edit import TagField, read_state
from exporters.undo import Outcome
from moodzone_agent import removal
from moodzone_agent.config import Places, Settings, TagSettings
from moodzone_agent.errors import UsageError
from moodzone_agent.library.records import FileStatus
from moodzone_agent.library.store import Library
from moodzone_agent.library.volumes import MountTable, Volume
from moodzone_agent.types import Label, LabelOrigin, Mark, MarkState, Zone
from moodzone_agent.writing import Wanted, WriteResult, WriteStatus, undo_run, wanted
from tests.agent.conftest import ENDINGS, World, files_opened, make_track

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
    results = undo_run(world.library, world.journal, TagSettings(), run)
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
    assert result.status is WriteStatus.SKIPPED
    assert f"moodzone label FILE {another(rated).lower()}" in result.reason
    assert path.read_bytes() == before

    label(world, path, another(rated))
    assert statuses(world.write()) == {"1.flac": "written"}
    assert read_state(path).text == f"great #{another(rated)} tune"


@pytest.mark.parametrize("how", ["edited", "vanished", "never scanned"])
def test_a_file_that_is_not_what_was_scanned_is_refused(world: World, originals: Path, how: str) -> None:
    path = world.add(originals / "1.flac")
    world.scan()
    wants = [item for item in wanted(world.library, None) if isinstance(item, Wanted)]
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
    undo_run(world.library, world.journal, TagSettings())  # the settings are others by now
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
    places = Places(world.home / "settings.toml", world.home / "library.sqlite", world.home / "journal")
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
    removal.save_labels(world.library, tmp_path / "labels.csv")
    with (tmp_path / "labels.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = list(csv.DictReader(file))
    assert [(row["path"], row["zone"], row["origin"]) for row in rows] == [(str(path), "PURPLE", "corrected")]
    with pytest.raises(UsageError, match="name another file"):
        removal.save_labels(world.library, tmp_path / "labels.csv")


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
