from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from moodzone_agent.errors import LibraryError
from moodzone_agent.library import store
from moodzone_agent.library.store import Analysis, FileRecord, FileStatus, Library, Stamp
from moodzone_agent.types import Estimate, Label, LabelOrigin, Mark, MarkState, Zone

STAMP = Stamp(1, 2, 3)
NO_RIBBON = np.empty((0, 2))


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library.open(tmp_path / "library.sqlite") as library:
        yield library


def record(path: Path, audio_id: str | None = None, status: FileStatus = FileStatus.OK) -> FileRecord:
    return FileRecord(path, STAMP, status, audio_id)


def analysis(audio_id: str, version: int = 1, value: float = 0.5) -> Analysis:
    track = np.full(3, value, np.float32)
    return Analysis(
        audio_id, 300.25, 127.9, (30.0, 61.5), version, track, np.stack([track, track + 1]), ("is silent",)
    )


def estimate(zone: Zone = Zone.GREEN, *, sure: bool = True, model: str = "m1") -> Estimate:
    probabilities = tuple(0.8 if other is zone else 0.1 for other in Zone)
    return Estimate((probabilities[0], probabilities[1], probabilities[2]), 5.3, 4.7, sure, model)


def label(audio_id: str, zone: Zone, time_ns: int = 0) -> Label:
    return Label(audio_id, zone, LabelOrigin.ASKED, "cli", time_ns)


def rate(library: Library, audio_id: str, rated: Estimate) -> None:
    library.put_analysis(analysis(audio_id))
    library.put_estimate(audio_id, rated, NO_RIBBON)


def run_beside(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Another process that uses the library."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    root = Path(store.__file__).parents[2]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)


class TestOpening:
    @pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4080])
    def test_what_is_no_library_is_refused_and_left_alone(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "library.sqlite"
        path.write_bytes(content)
        with pytest.raises(LibraryError, match="set the file aside"):
            Library.open(path)
        assert path.read_bytes() == content

    def test_damage_in_the_middle_is_found(self, tmp_path: Path) -> None:
        path = tmp_path / "library.sqlite"
        with Library.open(path) as library, library.transaction():
            for number in range(200):
                library.put_file(record(tmp_path / f"{number}.mp3", f"{number}"))
        content = bytearray(path.read_bytes())
        content[4096 * 4 :] = os.urandom(len(content) - 4096 * 4)
        path.write_bytes(content)
        with pytest.raises(LibraryError, match="damaged"):
            Library.open(path)

    def test_a_folder_in_its_place(self, tmp_path: Path) -> None:
        with pytest.raises(LibraryError, match="cannot be used"):
            Library.open(tmp_path)

    def test_a_file_where_its_folder_should_be(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(LibraryError, match="cannot be reached"):
            Library.open(tmp_path / "file" / "library.sqlite")

    def test_its_folder_is_made(self, tmp_path: Path) -> None:
        with Library.open(tmp_path / "a" / os.fsdecode(b"\xff\n") / "library.sqlite") as library:
            assert library.runs() == []

    def test_reading_only(self, tmp_path: Path) -> None:
        path = tmp_path / "library.sqlite"
        with pytest.raises(LibraryError, match="moodzone scan"):
            Library.open(path, read_only=True)
        assert not path.exists()
        with Library.open(path) as library:
            library.set_meta("key", "value")
        with Library.open(path, read_only=True) as library:
            assert library.meta("key") == "value"
            with pytest.raises(LibraryError, match="readonly"):
                library.set_meta("key", "other")

    def test_a_library_held_by_another_program(
        self, library: Library, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store, "_BUSY_SECONDS", 0.01)
        with Library.open(library.path) as other, library.transaction():
            with pytest.raises(LibraryError, match="try again"):
                other.set_meta("key", "value")
            assert other.meta("key") is None  # readers never wait

    def test_a_full_disk_changes_nothing(self, library: Library) -> None:
        library.put_analysis(analysis("a"))
        pages = library._connection.execute("PRAGMA page_count").fetchone()[0]
        library._connection.execute(f"PRAGMA max_page_count = {pages}")
        big = replace(analysis("b"), windows=np.zeros((4000, 3), np.float32))
        with pytest.raises(LibraryError, match="full"), library.transaction():  # noqa: PT012
            library.add_label(label("a", Zone.GREEN))
            library.put_analysis(big)
        assert library.labels() == []
        assert not library.has_features("b", 1)
        library.set_meta("still", "works")
        library.check()


class TestFiles:
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
    @given(
        names=st.sets(
            st.binary(min_size=1, max_size=250).filter(
                lambda name: not set(name) & set(b"/\0") and name not in {b".", b".."}
            ),
            max_size=5,
        ),
        text=st.text(st.characters()),
    )
    def test_every_name_and_text_comes_back(self, tmp_path: Path, names: set[bytes], text: str) -> None:
        folder = tmp_path / os.fsdecode(b"\xe9t\xe9\n")
        written = text.encode("utf-8", "backslashreplace").decode()
        with TemporaryDirectory(dir=tmp_path) as home, Library.open(Path(home) / "l") as library:
            records = [
                FileRecord(
                    folder / os.fsdecode(name), STAMP, FileStatus.FAILED, None, text, "hash", 4, text, text
                )
                for name in names
            ]
            for each in records:
                library.put_file(each)
            expected = {
                each.path: replace(each, reason=written, artist=written, title=written) for each in records
            }
            assert {each.path: each for each in library.files_under(tmp_path)} == expected
            assert {each.path: library.file(each.path) for each in records} == expected

    @given(st.integers(), st.integers())
    def test_any_date_can_be_stored(self, mtime: int, ctime: int) -> None:
        status = os.stat_result(
            (0o100644, 0, 0, 1, 0, 0, 5, 0, 0, 0), {"st_mtime_ns": mtime, "st_ctime_ns": ctime}
        )
        stamp = Stamp.of(status)
        with closing(sqlite3.connect(":memory:")) as database:
            assert database.execute("SELECT ?, ?", (stamp.mtime_ns, stamp.ctime_ns)).fetchone()

    def test_stamp_of_a_real_file(self, tmp_path: Path) -> None:
        path = tmp_path / "x"
        path.write_bytes(b"12345")
        before = Stamp.of(path.stat())
        os.utime(path, ns=(1, 2))
        after = Stamp.of(path.stat())
        assert (before.size, after.mtime_ns) == (5, 2)
        assert os.name == "nt" or after.ctime_ns >= before.ctime_ns > 2

    def test_under_a_root(self, library: Library, tmp_path: Path) -> None:
        for name in ("a/1", "a/b/2", "a!/3", "a0/4", "ab/5", "a"):
            library.put_file(record(tmp_path / name))
        assert [each.path.name for each in library.files_under(tmp_path / "a")] == ["a", "1", "2"]
        assert len(list(library.files_under(Path("/")))) == 6
        assert list(library.files_under(tmp_path / "nowhere")) == []

    def test_only_what_is_gone_is_missing(self, library: Library, tmp_path: Path) -> None:
        paths = {name: tmp_path / name for name in ("gone/1", "here/2", "seen/3", "barred/4", "other/5")}
        for path in paths.values():
            library.put_file(replace(record(path, "x"), artist="Artist"))
        paths["here/2"].parent.mkdir()
        paths["here/2"].touch()
        seen, unreadable = {paths["seen/3"]}, [tmp_path / "barred"]
        assert library.mark_missing(tmp_path, seen.__contains__, unreadable) == 2
        assert library.mark_missing(tmp_path, seen, unreadable) == 0
        statuses = {each.path: each.status for each in library.files_under(tmp_path)}
        missing = {path for path, status in statuses.items() if status is FileStatus.MISSING}
        assert missing == {paths["gone/1"], paths["other/5"]}
        gone = library.file(paths["gone/1"])
        assert gone is not None
        assert (gone.audio_id, gone.artist) == ("x", "Artist")
        library.put_file(replace(gone, status=FileStatus.OK))
        assert library.file(paths["gone/1"]) == replace(gone, status=FileStatus.OK)

    def test_held_until_released_even_when_moved(self, library: Library, tmp_path: Path) -> None:
        library.put_file(record(tmp_path / "old", "x"))
        library.put_file(record(tmp_path / "other", "y"))
        library.hold([tmp_path / "old", tmp_path / "unknown"], "run-7")
        library.put_file(record(tmp_path / "new", "x"))
        held = {name: library.held(tmp_path / name) for name in ("old", "new", "other", "unknown")}
        assert held == {"old": True, "new": True, "other": False, "unknown": True}
        library.release([tmp_path / "new"])
        assert not library.held(tmp_path / "old")
        assert library.held(tmp_path / "unknown")


class TestTracks:
    @given(
        arrays(np.float32, st.tuples(st.integers(0, 5), st.just(4))),
        st.lists(st.text(st.characters()), max_size=3),
    )
    def test_features_come_back_bit_for_bit(self, windows: np.ndarray, warnings: list[str]) -> None:
        put = Analysis(
            "x", 0.1, 120.0, (0.1, 1e9), 3, np.arange(4, dtype=np.float32), windows, tuple(warnings)
        )
        with TemporaryDirectory() as home, Library.open(Path(home) / "l") as library:
            library.put_analysis(put)
            got = library.analysis("x")
        assert got is not None
        np.testing.assert_array_equal(got.track, put.track)
        np.testing.assert_array_equal(got.windows, put.windows)
        assert got.windows.dtype == got.track.dtype == np.float32
        assert (got.duration, got.tempo, got.drops, got.warnings) == (0.1, 120.0, put.drops, put.warnings)

    def test_several_versions_of_features(self, library: Library) -> None:
        library.put_analysis(analysis("x", 2, value=2))
        library.put_analysis(analysis("x", 1, value=1))
        assert [library.has_features("x", version) for version in (1, 2, 3)] == [True, True, False]
        newest, oldest = library.analysis("x"), library.analysis("x", 1)
        assert newest is not None
        assert oldest is not None
        assert (newest.features_version, newest.track[0], oldest.track[0]) == (2, 2, 1)
        assert library.analysis("x", 3) is library.analysis("y") is None

    @given(arrays(np.float64, st.tuples(st.integers(0, 9), st.just(1)), elements=st.floats(1, 9)), st.data())
    def test_ribbon_is_compact_and_close(self, arousal: np.ndarray, data: st.DataObject) -> None:
        ranks = data.draw(arrays(np.float64, arousal.shape, elements=st.sampled_from([0, 1, 2])))
        with TemporaryDirectory() as home, Library.open(Path(home) / "l") as library:
            library.put_analysis(analysis("x"))
            library.put_estimate("x", estimate(), np.hstack([ranks, arousal]))
            track = library.track("x")
        assert track is not None
        np.testing.assert_array_equal(track.ribbon[:, :1], ranks)
        np.testing.assert_allclose(track.ribbon[:, 1:], arousal, atol=0.02)
        assert len(track.ribbon_data) <= 2 * len(ranks) + 16

    def test_ribbon_that_is_none(self, library: Library) -> None:
        for wrong in (np.zeros((4, 3)), np.zeros(4), np.full((1, 2), np.nan)):
            with pytest.raises(ValueError, match="two columns"):
                library.put_estimate("x", estimate(), wrong)

    def test_a_new_model_rates_each_stored_track_once(self, library: Library) -> None:
        for audio_id in "abc":
            library.put_analysis(analysis(audio_id))
        library.put_analysis(analysis("old", version=0))
        library.put_estimate("b", estimate(model="m2"), NO_RIBBON)
        rated = []
        for (waiting,) in library.tracks_to_rate("m2", 1, at_once=1):
            found = waiting.analysis
            np.testing.assert_array_equal(found.windows, analysis(found.audio_id).windows)
            np.testing.assert_array_equal(found.track, analysis(found.audio_id).track)
            library.put_estimate(found.audio_id, estimate(model="m2"), NO_RIBBON)
            rated.append(found.audio_id)
        assert rated == ["a", "c"]
        assert list(library.tracks_to_rate("m2", 1)) == []
        (batch,) = library.tracks_to_rate("m3", 1)
        assert [(each.before, each.is_labelled) for each in batch] == [(estimate(model="m2"), False)] * 3

    def test_the_affect_of_its_windows_lasts_until_a_recording_is_analysed_again(
        self, library: Library
    ) -> None:
        affect = np.array([[5.0, 4.0], [6.5, 3.25]], np.float32)
        library.put_analysis(analysis("x"))
        library.put_affect("x", "graph", affect)
        for graph, found in (("graph", affect), ("another", None)):
            ((waiting,),) = library.tracks_to_rate("m", 1, graph)
            for known in (waiting.affect, library.affect("x", graph)):
                np.testing.assert_array_equal(known, found)
        library.put_analysis(analysis("x"))
        assert library.affect("x", "graph") is None

    def test_a_kept_zone_counts(self, library: Library) -> None:
        kept = replace(estimate(Zone.GREEN), kept=Zone.PURPLE)
        rate(library, "x", kept)
        track = library.track("x")
        assert track is not None
        assert (track.estimate, library.estimate("x"), library.estimate("y")) == (kept, kept, None)
        assert track.mark == Mark(Zone.PURPLE, MarkState.RATED)
        assert kept.confidence == 0.1
        assert [len(list(library.tracks(zone=zone))) for zone in Zone] == [0, 0, 1]

    def test_copies_are_recognised_by_what_is_known(self, library: Library, tmp_path: Path) -> None:
        library.put_analysis(analysis("x"))
        library.put_analysis(analysis("old", version=0))
        for name, audio_id in (("1", "x"), ("2", "x"), ("3", "old"), ("4", "never analysed")):
            library.put_file(replace(record(tmp_path / name, audio_id), stamp=Stamp(int(name) * 10, 0, 0)))
        assert set(library.known_audio(1)) == {("x", 10, 300.25), ("x", 20, 300.25)}

    def test_one_track_with_everything(self, library: Library, tmp_path: Path) -> None:
        rate(library, "x", estimate(Zone.PURPLE, sure=False))
        library.put_file(replace(record(tmp_path / "b.mp3", "x"), artist="Artist", title="Title"))
        library.put_file(record(tmp_path / "a.mp3", "x"))
        library.put_file(record(tmp_path / "c.mp3", "x", FileStatus.MISSING))
        track = library.track_of(tmp_path / "a.mp3")
        assert track is not None
        assert (track.paths, track.away) == ((tmp_path / "a.mp3", tmp_path / "b.mp3"), (tmp_path / "c.mp3",))
        assert (track.artist, track.title, track.duration, track.tempo) == ("Artist", "Title", 300.25, 127.9)
        assert (track.drops, track.warnings) == ((30.0, 61.5), ("is silent",))
        assert track.estimate == estimate(Zone.PURPLE, sure=False)
        assert track.mark == Mark(Zone.PURPLE, MarkState.UNSURE)
        assert library.track("y") is library.track_of(tmp_path / "d.mp3") is None

    def test_choosing(self, library: Library, tmp_path: Path) -> None:
        for audio_id, rated in (
            ("green", estimate(Zone.GREEN)),
            ("green?", estimate(Zone.GREEN, sure=False)),
            ("purple", estimate(Zone.PURPLE)),
            ("labelled", estimate(Zone.GREEN, sure=False)),
        ):
            rate(library, audio_id, rated)
            library.put_file(record(tmp_path / audio_id, audio_id))
        library.add_label(label("labelled", Zone.PURPLE))
        library.add_label(label("unheard", Zone.PURPLE))

        def chosen(**by: object) -> list[str]:
            return [track.audio_id for track in library.tracks(**by)]  # type: ignore[arg-type]

        assert chosen() == ["unheard", "green", "green?", "labelled", "purple"]
        assert chosen(zone=Zone.GREEN) == ["green", "green?"]
        assert chosen(zone=Zone.PURPLE) == ["unheard", "labelled", "purple"]
        assert chosen(unsure=True) == ["green?"]
        assert chosen(unsure=False) == ["green", "purple"]
        assert chosen(labelled=True) == ["unheard", "labelled"]
        assert chosen(labelled=False, zone=Zone.PURPLE) == ["purple"]
        assert chosen(root=tmp_path / "purple") == ["purple"]
        assert chosen(root=tmp_path / "pur") == []

    def test_a_list_takes_as_many_queries_for_many_as_for_few(self, library: Library, tmp_path: Path) -> None:
        def queries() -> int:
            statements: list[str] = []
            library._connection.set_trace_callback(statements.append)
            list(library.tracks())
            library._connection.set_trace_callback(None)
            return len(statements)

        few = queries()
        for number in range(20):
            rate(library, str(number), estimate())
            library.put_file(record(tmp_path / str(number), str(number)))
            library.add_label(label(str(number), Zone.GREEN))
        assert queries() == few


class TestLabels:
    def test_the_last_to_arrive_counts_whatever_the_clock_said(self, library: Library) -> None:
        rate(library, "x", estimate(Zone.GREEN))
        given = [
            label("x", Zone.PURPLE, time_ns=50),
            label("y", Zone.GREEN),
            label("x", Zone.YELLOW, time_ns=10),
        ]
        for each in given:
            library.add_label(each)
        assert library.label("x") == given[2]
        assert [event.label for event in library.labels("x")] == [given[0], given[2]]
        assert [event.label for event in library.labels()] == given
        track = library.track("x")
        assert track is not None
        assert track.mark == Mark(Zone.YELLOW, MarkState.LABELLED)

    def test_a_label_taken_back_leaves_the_models_word(self, library: Library) -> None:
        rate(library, "x", estimate(Zone.GREEN))
        library.add_label(label("x", Zone.PURPLE))
        library.retract_label("x", "cli", 60)
        track = library.track("x")
        assert track is not None
        assert track.mark == Mark(Zone.GREEN)
        assert library.label("x") is None
        assert [event.zone for event in library.labels("x")] == [Zone.PURPLE, None]

    def test_rating_and_analysing_again_leave_labels_alone(self, library: Library, tmp_path: Path) -> None:
        library.add_label(label("x", Zone.PURPLE))
        rate(library, "x", estimate(Zone.YELLOW))
        rate(library, "x", estimate(Zone.YELLOW, model="m2"))
        library.put_file(record(tmp_path / "x", "x", FileStatus.MISSING))
        assert library.label("x") == label("x", Zone.PURPLE)


def test_runs_and_notes(library: Library) -> None:
    first = library.start_run("scan", {"roots": [os.fsdecode(b"/m\xff")]})
    second = library.start_run("write")
    library.finish_run(first, {"ok": 3})
    newest, oldest = library.runs()
    assert (newest.id, newest.finished_ns, newest.counts) == (second, None, {})
    assert (oldest.kind, oldest.counts, oldest.detail) == (
        "scan",
        {"ok": 3},
        {"roots": [os.fsdecode(b"/m\xff")]},
    )
    assert oldest.finished_ns is not None
    assert oldest.finished_ns >= oldest.started_ns
    assert library.runs(last=1) == [newest]
    library.set_meta("consent", "yes")
    library.set_meta("consent", "no")
    assert (library.meta("consent"), library.meta("other")) == ("no", None)


class TestTransactions:
    def test_all_or_nothing(self, library: Library) -> None:
        with pytest.raises(KeyboardInterrupt), library.transaction():  # noqa: PT012
            library.set_meta("key", "value")
            raise KeyboardInterrupt
        assert library.meta("key") is None

    def test_an_inner_failure_takes_back_the_inner_only(self, library: Library) -> None:
        with library.transaction():
            library.set_meta("outer", "kept")
            with pytest.raises(sqlite3.IntegrityError), library.transaction():  # noqa: PT012
                library.set_meta("inner", "lost")
                library.put_estimate("unknown", estimate(), NO_RIBBON)
                library.set_meta("never", "reached")
        assert [library.meta(key) for key in ("outer", "inner", "never")] == ["kept", None, None]

    def test_killed_in_the_middle(self, tmp_path: Path) -> None:
        path = tmp_path / "library.sqlite"
        writer = run_beside(
            """
            import sys
            from pathlib import Path
            import numpy as np
            from moodzone_agent.library.store import *
            from moodzone_agent.types import *
            path = Path(sys.argv[1])
            windows = np.ones((100, 300), np.float32)
            library = Library.open(path)
            library.add_label(Label("x", Zone.PURPLE, LabelOrigin.ASKED, "cli", 0))
            with library.transaction():
                for number in range(100):
                    library.put_analysis(Analysis(str(number), 1.0, 120.0, (), 1, windows[0], windows))
                    file = path.parent / str(number)
                    library.put_file(FileRecord(file, Stamp(0, 0, 0), FileStatus.OK, "x"))
                library.add_label(Label("x", Zone.GREEN, LabelOrigin.ASKED, "cli", 0))
                print("in the middle", flush=True)
                sys.stdin.read()
            """,
            path,
        )
        with writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "in the middle\n"
            writer.kill()
        assert (
            path.with_name("library.sqlite-wal").stat().st_size > 1 << 20
        )  # much of it had reached the disk
        with Library.open(path) as library:
            library.check()
            assert list(library.files_under(tmp_path)) == []
            assert not library.has_features("0", 1)
            assert [event.zone for event in library.labels()] == [Zone.PURPLE]
            library.add_label(label("x", Zone.YELLOW))

    def test_two_processes_at_once_lose_nothing(self, tmp_path: Path) -> None:
        """They also create the library at once."""
        path = tmp_path / "library.sqlite"
        code = """
            import sys
            from pathlib import Path
            from moodzone_agent.library.store import *
            from moodzone_agent.types import *
            path, name = Path(sys.argv[1]), sys.argv[2]
            with Library.open(path) as library:
                for number in range(100):
                    file = path.parent / name / str(number)
                    library.put_file(FileRecord(file, Stamp(0, 0, 0), FileStatus.OK, "x"))
                    library.add_label(Label("x", Zone.GREEN, LabelOrigin.ASKED, name, number))
            """
        writers = [run_beside(code, path, name) for name in ("one", "two")]
        assert [writer.communicate() and writer.returncode for writer in writers] == [0, 0]
        with Library.open(path) as library:
            assert len(list(library.files_under(tmp_path))) == 200
            for name in ("one", "two"):
                times = [event.time_ns for event in library.labels() if event.source == name]
                assert times == list(range(100))


class LibraryModel(RuleBasedStateMachine):
    """The library beside plain dictionaries."""

    paths = st.sampled_from([Path("/music/a"), Path("/music/b/c"), Path(os.fsdecode(b"/music/\xff\n"))])
    ids = st.sampled_from(["x", "y"])
    zones = st.sampled_from(list(Zone))

    def __init__(self) -> None:
        super().__init__()
        self.home = TemporaryDirectory()
        self.library = Library.open(Path(self.home.name) / "l")
        self.files: dict[Path, FileRecord] = {}
        self.estimates: dict[str, Estimate] = {}
        self.history: list[tuple[str, Zone | None]] = []

    @rule(
        path=paths, audio_id=st.none() | ids, status=st.sampled_from(list(FileStatus)), size=st.integers(0, 9)
    )
    def put_file(self, path: Path, audio_id: str | None, status: FileStatus, size: int) -> None:
        self.files[path] = FileRecord(path, Stamp(size, 0, 0), status, audio_id)
        self.library.put_file(self.files[path])

    @rule(audio_id=ids, zone=zones, sure=st.booleans())
    def rate(self, audio_id: str, zone: Zone, sure: bool) -> None:
        self.estimates[audio_id] = estimate(zone, sure=sure)
        rate(self.library, audio_id, self.estimates[audio_id])

    @rule(audio_id=ids, zone=st.none() | zones)
    def say(self, audio_id: str, zone: Zone | None) -> None:
        self.history.append((audio_id, zone))
        if zone:
            self.library.add_label(label(audio_id, zone))
        else:
            self.library.retract_label(audio_id, "cli", 0)

    @rule()
    def lose_all(self) -> None:
        gone = {path for path, each in self.files.items() if each.status is not FileStatus.MISSING}
        assert self.library.mark_missing(Path("/music"), ()) == len(gone)
        self.files = {path: replace(each, status=FileStatus.MISSING) for path, each in self.files.items()}

    @rule()
    def reopen(self) -> None:
        self.library.close()
        self.library = Library.open(self.library.path)

    @invariant()
    def agrees(self) -> None:
        assert {each.path: each for each in self.library.files_under(Path("/"))} == self.files
        assert {each.path: each for each in self.library.files()} == self.files
        assert [(event.audio_id, event.zone) for event in self.library.labels()] == self.history
        labels = dict(self.history)
        for track in self.library.tracks():
            holders = {path: each for path, each in self.files.items() if each.audio_id == track.audio_id}
            there = {path for path, each in holders.items() if each.status is FileStatus.OK}
            assert (set(track.paths), set(track.away)) == (there, holders.keys() - there)
            assert track.estimate == self.estimates.get(track.audio_id)
            assert (track.label.zone if track.label else None) == labels.get(track.audio_id)

    def teardown(self) -> None:
        self.library.close()
        self.home.cleanup()


TestLibraryModel = LibraryModel.TestCase
TestLibraryModel.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)
