"""Files read in processes of their own."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from moodzone_agent.analysis import analyse, read_file
from moodzone_agent.audio.decode import AudioReader
from moodzone_agent.errors import AudioError, FileChangedError, RunError
from moodzone_agent.library.records import Analysis
from moodzone_agent.worker import Desk, Gauge
from moodzone_agent.workers import AnalysisPool, Outcome, Task, TimeLimit
from tests.agent.worker_jobs import MISBEHAVE, EditedPath, FailingPath
from tests.audio_files import write_tone

ROOT = Path(__file__).resolve().parents[2]

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX only")


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers get our search path, and with it the tests."""
    monkeypatch.syspath_prepend(ROOT)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tone(tmp_path_factory.mktemp("music") / "good.wav", seconds=2)


def task(path: Path, *, identify_first: bool = False, analyse_always: bool = False) -> Task:
    size = path.stat().st_size if path.exists() else 0
    return Task(path, size, identify_first=identify_first, analyse_always=analyse_always)


def run(pool: AnalysisPool, *tasks: Task) -> dict[str, Outcome]:
    return {outcome.task.path.name: outcome for outcome in pool.run(deque(tasks))}


def named(good: Path, folder: Path, *stems: str) -> list[Task]:
    return [task(Path(shutil.copy(good, folder / f"{stem}.wav"))) for stem in stems]


def direct(path: Path) -> Analysis:
    with AudioReader(path) as reader:
        return analyse(reader)


def test_an_analysis_is_what_this_process_would_find(good: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp3").write_text("Not music.")
    gone = tmp_path / "gone.mp3"
    with AnalysisPool(2) as pool:
        outcomes = run(pool, task(good), task(tmp_path / "text.mp3"), task(gone), task(tmp_path))
    assert set(outcomes) == {"good.wav", "text.mp3", "gone.mp3", tmp_path.name}
    assert outcomes["good.wav"].error is None
    found, expected = outcomes["good.wav"].result, direct(good)
    assert isinstance(found, Analysis)
    assert (found.audio_id, found.duration, found.warnings) == (expected.audio_id, 2.0, ())
    np.testing.assert_allclose(found.track, expected.track, rtol=1e-5)
    np.testing.assert_allclose(found.windows, expected.windows, rtol=1e-5)
    refused = outcomes["text.mp3"]
    assert refused.result is None
    assert isinstance(refused.error, AudioError)
    assert "not a music file" in str(refused.error)
    assert isinstance(outcomes["gone.mp3"].error, FileNotFoundError)
    assert isinstance(outcomes[tmp_path.name].error, OSError)


def test_tasks_may_be_added_while_others_run(good: Path, tmp_path: Path) -> None:
    first, second = named(good, tmp_path, "first", "second")
    tasks = deque([first])
    seen = []
    with AnalysisPool(1) as pool:
        for outcome in pool.run(tasks):
            seen.append(outcome.task.path.stem)
            if outcome.task == first:
                tasks.append(second)
        assert seen == ["first", "second"]
        assert list(pool.run(deque())) == []


def test_whatever_one_file_does_the_others_are_read(good: Path, tmp_path: Path) -> None:
    reasons = {
        "abort": "crashed the decoder (SIGABRT); it may be damaged",
        "exit": "crashed the decoder (exit code 3); it may be damaged",
        "killed": "its reading was killed, perhaps for want of memory; it may be damaged",
        "memory": "needs more than 1024 MB of memory; it may be damaged",
        "hang": "took too long to read; its audio may be damaged",
        "fault": "could not be analysed (ValueError: a fault of ours)",
        "drive": "[Errno 110] Connection timed out",
    }
    if sys.platform != "linux":
        for stem in ("abort", "killed", "memory"):
            del reasons[stem]
    tasks = named(good, tmp_path, "a", *reasons, "b", "c", "d")
    with AnalysisPool(2, job=MISBEHAVE, cpu_seconds=0.5) as pool:
        outcomes = run(pool, *tasks)
    assert len(outcomes) == len(tasks)
    for stem in "abcd":
        assert isinstance(outcomes[f"{stem}.wav"].result, Analysis)
    errors = {stem: outcomes[f"{stem}.wav"].error for stem in reasons}
    assert {stem: str(error) for stem, error in errors.items()} == reasons
    for stem, error in errors.items():
        assert isinstance(error, OSError if stem == "drive" else AudioError)
    assert not multiprocessing.active_children()


@posix
def test_a_stopped_worker_only_waits(good: Path, tmp_path: Path) -> None:
    """As when a computer sleeps, or its user presses Ctrl-Z."""
    tasks = named(good, tmp_path, "stopped", "a", "b", "c")
    seen = []
    with AnalysisPool(2, job=MISBEHAVE) as pool:
        for outcome in pool.run(deque(tasks)):
            assert isinstance(outcome.result, Analysis)
            seen.append(outcome.task.path.stem)
            if len(seen) == 3:
                stopped = os.waitid(os.P_ALL, 0, os.WSTOPPED)
                assert stopped is not None
                os.kill(stopped.si_pid, signal.SIGCONT)
    assert sorted(seen[:3]) == ["a", "b", "c"]
    assert seen[3] == "stopped"


@posix
def test_a_disk_that_does_not_answer_is_no_fault_of_the_file(good: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    tasks = named(good, tmp_path, "wait", "a")
    with AnalysisPool(1, job=MISBEHAVE, patience=0.5) as pool:
        outcomes = run(pool, *tasks)
    assert isinstance(outcomes["a.wav"].result, Analysis)
    error = outcomes["wait.wav"].error
    assert isinstance(error, TimeoutError)
    assert error.strerror == "the disk does not answer"
    assert not multiprocessing.active_children()


class TestTimeLimit:
    def test_hours_asleep_do_not_count(self) -> None:
        limit, gauge = TimeLimit(10_000_000), Gauge(0.4, 7.0)
        assert [limit.check(8 * 3600, gauge) for _ in range(500)] == [None] * 500

    def test_a_disk_that_does_not_answer(self) -> None:
        limit, gauge = TimeLimit(10_000_000), Gauge(0.4, 7.0)
        found = next(error for _ in range(2000) if (error := limit.check(0.5, gauge)))
        assert isinstance(found, TimeoutError)
        assert found.errno == errno.ETIMEDOUT

    def test_a_slow_network_is_no_hang(self) -> None:
        limit = TimeLimit(10_000_000)
        assert not any(limit.check(0.5, Gauge(step / 10_000, 7.0 + step / 1e5)) for step in range(10_000))

    def test_a_decoder_that_turns_in_circles(self) -> None:
        limit = TimeLimit(10_000_000)
        errors = [limit.check(0.5, Gauge(0.1, 7 + step)) for step in range(200)]
        assert errors[:60] == [None] * 60
        assert isinstance(errors[-1], AudioError)

    def test_the_more_was_read_the_more_time_it_may_take(self) -> None:
        limit, mix = TimeLimit(10_000_000), TimeLimit(300_000_000)
        errors = [mix.check(0.5, Gauge(step / 7200, step * 0.5)) for step in range(7200)]
        assert errors == [None] * 7200
        errors = [limit.check(0.5, Gauge(step / 7200, step * 0.5)) for step in range(7200)]
        assert isinstance(errors[-1], AudioError)


@posix
def test_progress_inside_a_file_can_be_asked_for(good: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    path = write_tone(tmp_path / "half.wav", seconds=20)
    seen: list[float] = []

    def look(pool: AnalysisPool) -> None:
        while not seen or not seen[-1]:
            seen.append(pool.bytes_under_way())
        (tmp_path / "pipe").write_bytes(b"")

    with AnalysisPool(1, job=MISBEHAVE) as pool:
        watcher = threading.Thread(target=look, args=(pool,), daemon=True)
        watcher.start()
        [outcome] = pool.run(deque([task(path)]))
        watcher.join()
        assert isinstance(outcome.result, Analysis)
        assert 0 < seen[-1] < path.stat().st_size
        assert pool.bytes_under_way() == 0


def test_workers_import_no_more_than_they_need(tmp_path: Path) -> None:
    with AnalysisPool(1, job=MISBEHAVE) as pool:
        [outcome] = pool.run(deque([Task(tmp_path / "modules", 0)]))
    assert isinstance(outcome.result, str)
    modules = set(outcome.result.split())
    assert "moodzone_agent.analysis" in modules
    assert not modules & {"typer", "rich", "onnxruntime", "mutagen", "sqlite3", "lxml", "moodzone_agent.cli"}


def test_where_no_worker_can_be_started_the_run_stops(good: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(RunError, match="no worker process can be started"),
        AnalysisPool(1, job=("tests.agent.worker_jobs", "absent")) as pool,
    ):
        list(pool.run(deque([task(good)])))
    assert "absent" in capfd.readouterr().err


def test_a_known_duration_is_only_identified(good: Path, tmp_path: Path) -> None:
    other = write_tone(tmp_path / "other.wav", seconds=3)
    with AnalysisPool(1, known_durations=[500.0, 2.04, 0.5]) as pool:
        outcomes = run(pool, task(good), task(other))
        assert outcomes["good.wav"].result == direct(good).audio_id
        assert isinstance(outcomes["other.wav"].result, Analysis)
        outcomes = run(pool, task(good, analyse_always=True), task(other, identify_first=True))
        assert isinstance(outcomes["good.wav"].result, Analysis)
        assert outcomes["other.wav"].result == direct(other).audio_id


def test_a_file_that_changes_while_it_is_read(good: Path, tmp_path: Path) -> None:
    analysed, identified = (EditedPath(shutil.copy(good, tmp_path / f"{name}.wav")) for name in "ab")
    with AnalysisPool(1) as pool:
        outcomes = run(pool, task(analysed), task(identified, identify_first=True))
    for outcome in outcomes.values():
        assert isinstance(outcome.error, FileChangedError)
        assert "looked at again" in str(outcome.error)
    assert len(outcomes) == 2


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".wav", ".m4a", ".ogg", ".opus", ".aiff"])
def test_a_disk_that_fails_says_nothing_about_the_file(
    tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Wherever it fails: no file is rated from its half."""
    path = FailingPath(write_tone(tmp_path / f"a{suffix}", seconds=20))
    for share in (0.0, 0.3, 0.6, 0.95):
        path.reads = int(share * path.stat().st_size)
        for identify_first in (True, False):
            with pytest.raises(OSError, match="Input/output error"):
                read_file(task(path, identify_first=identify_first), Desk())
    assert capfd.readouterr() == ("", "")


def test_leaving_early_stops_all_workers(good: Path, tmp_path: Path) -> None:
    tasks = deque(named(good, tmp_path, "a", "hang"))

    def interrupted() -> None:
        with AnalysisPool(2, job=MISBEHAVE) as pool:
            next(pool.run(tasks))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not multiprocessing.active_children()


@posix
@pytest.mark.parametrize("stem", ["hang", "wait"])
@pytest.mark.parametrize("end", ["control-c", "killed"])
def test_a_parent_that_ends_leaves_no_process(good: Path, tmp_path: Path, stem: str, end: str) -> None:
    named(good, tmp_path, "good", stem)
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(
        [sys.executable, "-m", "tests.agent.worker_jobs", tmp_path, stem],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "good.wav\n"
        if end == "killed":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGINT)
        try:
            # Ends when no process is left that could write there.
            _, noise = process.communicate(timeout=60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if end == "killed":
        assert noise == ""
    else:
        assert noise.count("Traceback") == 1
        assert "KeyboardInterrupt" in noise
