"""A scan reads what is new, recognises what is known, and says something of every file."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mutagen
import pytest
from rich.console import Console

from moodzone_agent import pipeline
from moodzone_agent.analysis import read_file
from moodzone_agent.classify.bundle import PRETRAINED, load_bundle
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.console import ScanProgress, track_details
from moodzone_agent.library.records import Analysis, FileStatus, Stamp
from moodzone_agent.pipeline import Plan, scan
from moodzone_agent.types import Cuts
from moodzone_agent.walk import Found
from moodzone_agent.worker import Desk, Job
from moodzone_agent.workers import AnalysisPool, Task
from tests.agent.conftest import ENDINGS, World, files_opened, make_track, no_root
from tests.agent.worker_jobs import MISBEHAVE

ROOT = Path(__file__).resolve().parents[2]

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX only")


def statuses(results: dict[str, Any]) -> dict[str, str]:
    return {name: str(result.status) for name, result in results.items()}


def test_new_music_of_every_container(world: World, originals: Path) -> None:
    for path in originals.iterdir():
        world.add(path)
    results = world.scan()
    assert sorted(world.reads) == sorted((f"{seed}{end}", "analysed") for seed, end in enumerate(ENDINGS))
    assert len({result.track.audio_id for result in results.values() if result.track}) == len(ENDINGS)
    for result in results.values():
        assert result.status is FileStatus.OK
        assert result.changed
        assert result.track is not None
        assert result.track.estimate is not None
        assert result.track.duration == pytest.approx(3, abs=0.1)
        assert result.track.title.startswith("Track")
        assert len(result.track.ribbon) == 6
        assert result.track.paths == (result.path,)


def test_unchanged_music_is_not_opened(world: World, originals: Path) -> None:
    for name in ("0.mp3", "1.flac", "2.m4a"):
        world.add(originals / name)
    (world.music / "noise.xyz").write_bytes(b"no music at all")
    first = world.scan()
    with files_opened() as opened:
        second = world.scan()
    assert [path for path in opened if path.startswith(str(world.music))] == []
    assert world.reads == []
    assert not any(result.changed for result in second.values())
    assert {name: result.track for name, result in second.items()} == {
        name: result.track for name, result in first.items()
    }
    assert statuses(second) == statuses(first)
    assert second["noise.xyz"].reason == "not a music file"


def test_touched_or_retagged_music_is_identified_and_not_decoded(world: World, originals: Path) -> None:
    touched, retagged = world.add(originals / "1.flac"), world.add(originals / "3.ogg")
    before = world.scan()
    touched_hash = world.library.file(touched).tag_hash  # type: ignore[union-attr]
    os.utime(touched, ns=(0, 0))
    tags = mutagen.File(retagged)
    tags["artist"], tags["title"], tags["comment"] = "Other", "Name", "x" * 9000
    tags.save()
    after = world.scan()
    assert sorted(world.reads) == [("1.flac", "identified"), ("3.ogg", "identified")]
    assert after["1.flac"].track == before["1.flac"].track
    assert world.library.file(touched).tag_hash == touched_hash  # type: ignore[union-attr]
    assert after["3.ogg"].track is not None
    assert (after["3.ogg"].track.artist, after["3.ogg"].track.title) == ("Other", "Name")
    world.scan()
    assert world.reads == []


@posix
def test_an_edit_that_kept_size_and_date_is_seen(world: World, originals: Path) -> None:
    path = world.add(originals / "1.flac")
    world.scan()
    status = path.stat()
    data = path.read_bytes()
    path.write_bytes(data.replace(b"Track 1", b"Crack 1"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    result = world.scan()["1.flac"]
    assert result.track is not None
    assert result.track.title == "Crack 1"


@pytest.mark.parametrize("clock", ["none", "coarse"])
def test_without_change_times_tags_are_read_again_after_a_day(
    world: World, originals: Path, monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    """Windows tells no change time; FAT tells the date instead, in steps of two seconds."""

    def walk_there(root: Path) -> Any:
        for item in real_walk(root):
            assert isinstance(item, Found)
            mtime = item.stat.st_mtime_ns // (2 * 10**9) * 2 * 10**9
            ctime = 0 if clock == "none" else mtime
            yield replace(
                item,
                stat=SimpleNamespace(st_size=item.stat.st_size, st_mtime_ns=mtime, st_ctime_ns=ctime),  # type: ignore[arg-type]
            )

    real_walk = pipeline.walk
    monkeypatch.setattr(pipeline, "walk", walk_there)
    path = world.add(originals / "1.flac")
    world.scan()
    status = path.stat()
    path.write_bytes(path.read_bytes().replace(b"Track 1", b"Crack 1"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not world.scan()["1.flac"].changed

    record = world.library.file(path)
    assert record is not None
    world.library.put_file(replace(record, tags_checked_ns=record.tags_checked_ns - 25 * 3600 * 10**9))
    result = world.scan()["1.flac"]
    assert result.changed
    assert result.track is not None
    assert result.track.title == "Crack 1"
    with files_opened() as opened:
        assert not world.scan()["1.flac"].changed
    assert str(path) not in opened


def test_other_audio_under_an_old_name(world: World, originals: Path) -> None:
    world.add(originals / "6.wav")
    before = world.scan()["6.wav"].track
    make_track(world.music / "6.wav", seed=99)
    after = world.scan()["6.wav"].track
    assert world.reads == [("6.wav", "identified"), ("6.wav", "analysed")]
    assert before is not None
    assert after is not None
    assert after.audio_id != before.audio_id
    assert world.library.track(before.audio_id).paths == ()  # type: ignore[union-attr]


def test_moved_files_and_renamed_folders_keep_what_is_known(world: World, originals: Path) -> None:
    for name in ("0.mp3", "1.flac"):
        world.add(originals / name, f"old/{name}")
    world.scan()
    (world.music / "old").rename(world.music / "new")
    (world.music / "new" / "0.mp3").rename(world.music / "renamed.mp3")
    results = world.scan()
    assert sorted(world.reads) == [("1.flac", "identified"), ("renamed.mp3", "identified")]
    assert sorted(results) == ["new/1.flac", "renamed.mp3"]
    for result in results.values():
        assert result.track is not None
        assert result.track.paths == (result.path,)
        assert [path.parent.name for path in result.track.away] == ["old"]


def test_a_file_that_fails_keeps_what_it_was_known_to_hold(world: World, originals: Path) -> None:
    path = world.add(originals / "1.flac")
    known = world.scan()["1.flac"].track
    assert known is not None
    path.write_bytes(b"no music")
    assert world.scan()["1.flac"].track is None
    record = world.library.file(path)
    assert record is not None
    assert (record.status, record.audio_id) == (FileStatus.FAILED, known.audio_id)
    assert record.tag_hash
    assert world.library.track_of(path) is None
    assert world.library.track(known.audio_id).paths == ()  # type: ignore[union-attr]
    assert world.write() == {}
    aside = path.rename(world.home / "aside.flac")
    world.scan()
    aside.rename(path)
    assert statuses(world.scan()) == {"1.flac": "failed"}
    world.add(originals / "1.flac")
    assert world.scan()["1.flac"].track == known


def test_copies_are_identified_and_not_analysed(world: World, originals: Path) -> None:
    one = world.add(originals / "0.mp3")
    world.scan()
    copy, edited = world.add(one, "copy.mp3"), world.add(one, "edited.mp3")
    tags = mutagen.File(edited)
    tags["TIT2"].text = ["A much longer title than before" * 100]
    tags.save()
    results = world.scan()
    assert sorted(world.reads) == [("copy.mp3", "identified"), ("edited.mp3", "identified")]
    tracks = {result.track.audio_id for result in results.values() if result.track}
    assert len(tracks) == 1
    assert world.library.track(tracks.pop()).paths == (one, copy, edited)  # type: ignore[union-attr]


def test_copies_in_the_first_scan_are_analysed_once(world: World, originals: Path) -> None:
    """Of files of one size, too, where one holds other audio."""
    for name in ("a.wav", "d.wav"):
        world.add(originals / "6.wav", name)
    make_track(
        world.music / "b.wav", seed=50, tags={"title": "Track 6", "artist": "Somebody", "comment": "8A - 7"}
    )
    shutil.copyfile(world.music / "b.wav", world.music / "c.wav")
    assert len({path.stat().st_size for path in world.music.iterdir()}) == 1
    results = world.scan()
    assert [kind for _, kind in world.reads].count("analysed") == 2
    ids = {name: result.track.audio_id for name, result in results.items() if result.track}
    assert ids["a.wav"] == ids["d.wav"] != ids["b.wav"] == ids["c.wav"]


def test_deleted_files_are_missing_until_they_are_back(world: World, originals: Path) -> None:
    path = world.add(originals / "1.flac")
    track = world.scan()["1.flac"].track
    assert track is not None
    aside = world.home / "aside.flac"
    path.rename(aside)
    assert world.scan() == {}
    gone = world.library.track(track.audio_id)
    assert gone is not None
    assert (gone.paths, gone.away, gone.estimate) == ((), (path,), track.estimate)
    aside.rename(path)
    result = world.scan()["1.flac"]
    assert result.track == track
    assert ("1.flac", "analysed") not in world.reads


@posix
def test_what_an_unreadable_folder_holds_is_not_missing(world: World, originals: Path) -> None:
    path = world.add(originals / "1.flac", "closed/1.flac")
    world.add(originals / "0.mp3")
    world.scan()
    path.parent.chmod(0)
    try:
        with no_root():
            results = world.scan()
        assert statuses(results) == {"0.mp3": "ok", "closed": "failed"}
        assert "denied" in results["closed"].reason
    finally:
        path.parent.chmod(0o755)
    assert world.library.file(path).status is FileStatus.OK  # type: ignore[union-attr]
    assert not world.scan()["closed/1.flac"].changed


def test_a_failed_file_is_tried_again_when_it_changes(world: World, originals: Path) -> None:
    path = world.music / "song.mp3"
    path.write_bytes(b"this is no music, whatever the name says\n" * 50)
    first = world.scan()["song.mp3"]
    assert (first.status, world.reads) == (FileStatus.FAILED, [("song.mp3", "failed")])
    assert first.reason
    second = world.scan()["song.mp3"]
    assert (second.status, second.reason, world.reads) == (FileStatus.FAILED, first.reason, [])
    shutil.copyfile(originals / "0.mp3", path)
    repaired = world.scan()["song.mp3"]
    assert repaired.status is FileStatus.OK
    assert repaired.reason == ""
    path.write_bytes(b"broken again")
    assert world.scan()["song.mp3"].track is None
    assert world.library.track_of(path) is None


@posix
def test_a_file_the_disk_refuses_is_tried_each_time(world: World, originals: Path) -> None:
    path = world.add(originals / "1.flac")
    path.chmod(0)
    for _ in range(2):
        with no_root():
            result = world.scan()["1.flac"]
        assert result.status is FileStatus.FAILED
        assert "denied" in result.reason
        assert world.reads == [("1.flac", "failed")]
    assert world.library.file(path) is None


def test_a_worker_that_dies_costs_one_file_until_that_changes(
    world: World, originals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.setattr(pipeline, "AnalysisPool", partial(AnalysisPool, job=MISBEHAVE))
    deadly = [world.add(originals / "0.mp3", f"{stem}.mp3") for stem in ("abort", "killed")]
    for name in ("1.flac", "2.m4a"):
        world.add(originals / name)
    expected = {"abort.mp3": "failed", "killed.mp3": "failed", "1.flac": "ok", "2.m4a": "ok"}
    first = world.scan()
    assert statuses(first) == expected
    assert "SIGABRT" in first["abort.mp3"].reason
    second = world.scan()
    assert (statuses(second), second["abort.mp3"].reason) == (expected, first["abort.mp3"].reason)
    assert not any(result.changed for result in second.values())
    os.utime(deadly[0], ns=(1, 1))
    assert [name for name, result in world.scan().items() if result.changed] == ["abort.mp3"]


def failing(*errors: OSError) -> Job:
    """Fail with these errors first, then read."""
    left = list(errors)

    def read(task: Task, desk: Desk) -> Analysis | str:
        if left:
            raise left.pop(0)
        return read_file(task, desk)

    return read


def disk_error() -> OSError:
    return OSError(errno.EIO, "Input/output error")


def test_an_error_of_the_disk_is_tried_again_at_the_end(world: World, originals: Path) -> None:
    for name in ("0.mp3", "1.flac"):
        world.add(originals / name)
    world.read = failing(disk_error())
    assert statuses(world.scan()) == {"0.mp3": "ok", "1.flac": "ok"}
    assert world.reads == [("0.mp3", "failed"), ("1.flac", "analysed"), ("0.mp3", "analysed")]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENODEV, errno.ESTALE, errno.ENOTCONN])
def test_a_disk_that_keeps_failing_is_tried_in_the_next_scan(
    world: World, originals: Path, number: int
) -> None:
    new, known = world.add(originals / "0.mp3"), world.add(originals / "1.flac")
    world.scan(known)
    record = world.library.file(known)
    os.utime(known, ns=(1, 1))
    errors = [OSError(number, os.strerror(number)) for _ in range(4)]
    world.read = failing(*errors)
    results = world.scan()
    assert len(world.reads) == 4
    for result in results.values():
        assert result.status is FileStatus.FAILED
        assert (
            result.reason
            == f"could not be read from the disk ({os.strerror(number)}); it will be tried again"
        )
    assert (world.library.file(new), world.library.file(known)) == (None, record)
    assert statuses(world.scan()) == {"0.mp3": "ok", "1.flac": "ok"}


def test_a_disk_that_does_not_answer_is_waited_for_once(world: World, originals: Path) -> None:
    path = world.add(originals / "0.mp3")
    world.read = failing(TimeoutError(errno.ETIMEDOUT, "the disk does not answer"))
    assert "does not answer" in world.scan()["0.mp3"].reason
    assert world.library.file(path) is None
    assert statuses(world.scan()) == {"0.mp3": "ok"}


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_drive_that_vanishes_in_the_middle_of_a_scan(
    world: World, originals: Path, *, comes_back: bool
) -> None:
    drive, away = world.music / "drive", world.home / "away"
    tried: list[Path] = []
    for name in ("0.mp3", "1.flac", "2.m4a"):
        world.add(originals / name, f"drive/{name}")
    world.add(originals / "3.ogg", "later/3.ogg")

    def read(task: Task, desk: Desk) -> Analysis | str:
        if task.path.name == "1.flac" and task.path not in tried:
            tried.append(task.path)
            drive.rename(away)
        if task.path.name == "3.ogg" and comes_back:
            away.rename(drive)
        return read_file(task, desk)

    world.read = read
    results = world.scan()
    held = {"drive/1.flac", "drive/2.m4a"}
    assert {name for name, result in results.items() if result.status is FileStatus.OK} == (
        set(results) if comes_back else set(results) - held
    )
    if not comes_back:
        assert all("tried again" in results[name].reason for name in held)
        away.rename(drive)
        world.read = read_file
        assert set(statuses(world.scan()).values()) == {"ok"}


def test_a_drive_that_vanishes_before_the_tags_are_read(world: World, originals: Path) -> None:
    path = world.add(originals / "1.flac")

    def read(task: Task, desk: Desk) -> Analysis | str:
        result = read_file(task, desk)
        path.rename(world.home / "1.flac")
        return result

    world.read = read
    assert "tried again" in world.scan()["1.flac"].reason
    assert world.library.file(path) is None


def downloads(path: Path, parts: Iterable[bytes]) -> Job:
    """Read, while another program appends a part each time it is opened."""
    left = iter(parts)

    class Growing(type(path)):  # type: ignore[misc]
        def open(self, *args: Any, **kwargs: Any) -> Any:
            file = super().open(*args, **kwargs)
            with path.open("ab") as download:
                download.write(next(left, b""))
            return file

    def read(task: Task, desk: Desk) -> Analysis | str:
        return read_file(replace(task, path=Growing(task.path)), desk)

    return read


@pytest.mark.parametrize("name", ["0.mp3", "1.flac", "3.ogg", "6.wav"])
def test_a_download_is_not_rated_from_its_half(world: World, originals: Path, name: str) -> None:
    whole = (originals / name).read_bytes()
    middle = len(whole) // 2
    path = world.music / name
    path.write_bytes(whole[:middle])
    world.add(originals / "2.m4a")
    world.read = downloads(path, [whole[middle:]])
    results = world.scan(path, world.music)
    assert world.reads[0] == (name, "failed")
    assert statuses(results) == {name: "ok", "2.m4a": "ok"}
    assert results[name].track is not None
    assert results[name].track.duration == pytest.approx(3, abs=0.1)
    assert results[name].track.warnings == ()
    world.read = read_file
    assert not world.scan()[name].changed


def test_a_download_that_goes_on_is_left_to_the_next_scan(world: World, originals: Path) -> None:
    whole = (originals / "0.mp3").read_bytes()
    part = len(whole) // 3
    path = world.music / "0.mp3"
    path.write_bytes(whole[:part])
    world.read = downloads(path, [whole[part : 2 * part], whole[2 * part :]])
    result = world.scan()["0.mp3"]
    assert (result.status, result.reason) == (
        FileStatus.FAILED,
        "changed while it was read; it will be looked at again",
    )
    assert world.reads == [("0.mp3", "failed")] * 2
    assert world.library.file(path) is None
    world.read = read_file
    assert world.scan()["0.mp3"].track.duration == pytest.approx(3, abs=0.1)  # type: ignore[union-attr]


def test_a_file_that_is_replaced_while_it_is_read(world: World, originals: Path) -> None:
    path = world.add(originals / "0.mp3")
    status = path.stat()

    def read(task: Task, desk: Desk) -> Analysis | str:
        if not world.reads:
            other = make_track(world.home / "other.mp3", seed=77)
            content = other.read_bytes()[: status.st_size]
            other.write_bytes(content + bytes(status.st_size - len(content)))
            os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
            return read_file(replace(task, path=Swapped(task.path)), desk)
        return read_file(task, desk)

    class Swapped(type(path)):  # type: ignore[misc]
        def open(self, *args: Any, **kwargs: Any) -> Any:
            file = super().open(*args, **kwargs)
            (world.home / "other.mp3").rename(path)
            return file

    world.read = read
    found = world.scan()["0.mp3"].track
    assert world.reads == [("0.mp3", "failed"), ("0.mp3", "analysed")]
    assert found is not None
    world.add(originals / "0.mp3", "original.mp3")
    assert world.scan()["original.mp3"].track.audio_id != found.audio_id  # type: ignore[union-attr]


def test_damage_stays_noted_with_the_track(world: World, originals: Path) -> None:
    path = world.add(originals / "2.m4a")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 800] = bytes(800)
    path.write_bytes(data)
    world.scan()
    track = world.scan()["2.m4a"].track
    assert track is not None
    [warning] = track.warnings
    assert "of its audio is broken or missing" in warning
    console = Console(file=StringIO(), width=120)
    console.print(track_details(track))
    assert warning in console.file.getvalue()  # type: ignore[attr-defined]


def test_progress_follows_the_plan() -> None:
    console = Console(file=StringIO(), force_terminal=True, width=100)
    tasks = [Task(Path(f"{number}.mp3"), 1_000_000) for number in range(4)]
    plan = Plan(10, tasks)
    with ScanProgress(console) as progress:
        progress.follow(plan)
        plan.count(tasks[0])
        plan.workers = SimpleNamespace(bytes_under_way=lambda: 250_000)  # type: ignore[assignment]
        progress.name(Path("some\x1b song.mp3"))
        progress.refresh()
        [bar] = progress.tasks
        assert (bar.completed, bar.total) == (1_250_000, 4_000_000)
        plan.workers = None  # the file turned out to be another's
        assert plan.bytes_read == 1_250_000
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "1/4" in shown
    assert "some\\x1b song.mp3" in shown


def test_another_model_rates_what_is_stored(world: World, originals: Path, tmp_path: Path) -> None:
    for name in ("0.mp3", "1.flac"):
        world.add(originals / name)
    before = world.scan()
    folder = shutil.copytree(PRETRAINED, tmp_path / "bundle")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"id": "other"}))
    for model in (
        ZoneModel(load_bundle(folder)),
        ZoneModel(load_bundle(folder), Cuts(yellow_max=8.5, purple_min=9)),
    ):
        with files_opened() as opened:
            results = {
                result.path.name: result for result in scan([world.music], world.library, model, jobs=1)
            }
        assert [path for path in opened if path.startswith(str(world.music))] == []
        assert {result.track.estimate.model for result in results.values()} == {model.model_id}  # type: ignore[union-attr]
        assert not any(result.changed for result in results.values())
    for name, result in results.items():
        assert result.track is not None
        assert result.track.estimate is not None
        assert result.track.estimate.zone == "YELLOW"
        assert result.track.duration == before[name].track.duration  # type: ignore[union-attr]


@posix
def test_links_to_files_stand_for_their_targets(world: World, originals: Path) -> None:
    inside, outside = world.add(originals / "1.flac"), world.home / "outside.mp3"
    shutil.copyfile(originals / "0.mp3", outside)
    (world.music / "link.flac").symlink_to(inside)
    (world.music / "link.mp3").symlink_to(outside)
    results = world.scan()
    assert statuses(results) == {"1.flac": "ok", "link.flac": "skipped", str(outside): "ok"}
    with files_opened() as opened:
        again = world.scan()
    assert (world.reads, statuses(again)) == ([], statuses(results))
    assert str(outside) not in opened


def test_roots_given_twice_or_inside_each_other_are_scanned_once(world: World, originals: Path) -> None:
    path = world.add(originals / "1.flac", "a/b/1.flac")
    world.add(originals / "0.mp3", "a/0.mp3")
    (world.music / "a" / "b" / "._1.flac").write_bytes(b"x")
    results = world.scan(world.music, world.music / "a" / "b", world.music / "a" / ".." / "a", path)
    assert sorted(results) == ["a/0.mp3", "a/b/._1.flac", "a/b/1.flac"]
    assert len(world.reads) == 2


def test_a_root_that_is_a_file_tells_nothing_of_its_neighbours(world: World, originals: Path) -> None:
    path, neighbour = world.add(originals / "1.flac"), world.add(originals / "0.mp3")
    world.scan()
    neighbour.unlink()
    assert sorted(world.scan(path)) == ["1.flac"]
    assert world.library.file(neighbour).status is FileStatus.OK  # type: ignore[union-attr]
    world.scan()
    assert world.library.file(neighbour).status is FileStatus.MISSING  # type: ignore[union-attr]


def test_a_root_that_vanished(world: World) -> None:
    results = world.scan(world.music / "gone")
    assert statuses(results) == {"gone": "failed"}


def test_the_plan_tells_what_will_be_read(world: World, originals: Path) -> None:
    told: list[tuple[Plan, tuple[int, ...]]] = []
    known, *new = (world.add(originals / name) for name in ("1.flac", "0.mp3", "2.m4a"))
    new.append(world.add(new[0], "copy of 0.mp3"))
    world.scan(known)

    def note(plan: Plan) -> None:
        told.append((plan, (plan.files, plan.to_read, plan.bytes_to_read, plan.files_read)))

    list(scan([world.music], world.library, world.model, jobs=1, on_plan=note))
    [(plan, at_first)] = told
    size = sum(path.stat().st_size for path in new)
    assert at_first == (4, 3, size, 0)
    assert (plan.files_read, plan.bytes_read) == (3, size)


def test_what_was_yielded_is_kept_when_a_scan_stops(world: World, originals: Path) -> None:
    for name in ("0.mp3", "1.flac", "3.ogg"):
        world.add(originals / name)
    stopped = scan([world.music], world.library, world.model, jobs=1)
    first = next(stopped)
    stopped.close()
    results = world.scan()
    assert not results[first.path.name].changed
    assert sorted(name for name, kind in world.reads if kind == "analysed") == ["1.flac", "3.ogg"]
    assert set(statuses(results).values()) == {"ok"}


def test_music_is_found_by_content_whatever_its_name(world: World, originals: Path) -> None:
    world.add(originals / "1.flac", "song")
    world.add(originals / "0.mp3", "really.flac")
    results = world.scan()
    assert statuses(results) == {"song": "ok", "really.flac": "ok"}


def test_scanning_changes_no_file(world: World, originals: Path) -> None:
    for name in ("0.mp3", "1.flac", "2.m4a", "6.wav"):
        world.add(originals / name)
    before = {
        path.name: (hashlib.sha256(path.read_bytes()).digest(), Stamp.of(path.stat()))
        for path in world.music.iterdir()
    }
    world.scan()
    assert before == {
        path.name: (hashlib.sha256(path.read_bytes()).digest(), Stamp.of(path.stat()))
        for path in world.music.iterdir()
    }
