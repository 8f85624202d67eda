"""Files read in processes of their own."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from moodzone_agent.analysis import analyse
from moodzone_agent.audio.decode import AudioReader
from moodzone_agent.errors import AudioError, FileChangedError
from moodzone_agent.library.records import Analysis
from moodzone_agent.workers import AnalysisPool, Outcome, Task, read_file
from tests.agent.worker_jobs import EditedPath, FailingPath, misbehave
from tests.audio_files import write_tone

ROOT = Path(__file__).resolve().parents[2]


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
    bad = ("abort", "exit", "hang", "fault", "drive")
    tasks = named(good, tmp_path, "a", *bad, "b", "c", "d")
    with AnalysisPool(2, read=misbehave, seconds=5) as pool:
        outcomes = run(pool, *tasks)
    assert len(outcomes) == len(tasks)
    for stem in "abcd":
        assert isinstance(outcomes[f"{stem}.wav"].result, Analysis)
    errors = {stem: outcomes[f"{stem}.wav"].error for stem in bad}
    assert isinstance(errors["drive"], TimeoutError)
    assert errors["drive"].errno == errno.ETIMEDOUT
    reasons = {stem: str(error) for stem, error in errors.items() if isinstance(error, AudioError)}
    assert reasons["exit"] == "crashed the decoder (exit code 3)"
    assert reasons["abort"].startswith("crashed the decoder (exit code ")
    assert reasons["hang"] == "took too long to read; its audio may be damaged"
    assert reasons["fault"] == "could not be analysed (ValueError: a fault of ours)"
    assert not multiprocessing.active_children()


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


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".wav", ".m4a", ".ogg"])
@pytest.mark.parametrize("identify_first", [True, False])
def test_a_disk_that_fails_says_nothing_about_the_file(
    tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str], *, identify_first: bool
) -> None:
    path = FailingPath(write_tone(tmp_path / f"a{suffix}", seconds=4))
    with pytest.raises(OSError, match="Input/output error"):
        read_file(task(path, identify_first=identify_first))


def test_leaving_early_stops_all_workers(good: Path, tmp_path: Path) -> None:
    tasks = deque(named(good, tmp_path, "a", "hang"))

    def interrupted() -> None:
        with AnalysisPool(2, read=misbehave) as pool:
            next(pool.run(tasks))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not multiprocessing.active_children()


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="sends a signal to a group of processes")
def test_control_c_leaves_no_process_and_no_noise_of_workers(good: Path, tmp_path: Path) -> None:
    named(good, tmp_path, "good", "hang")
    with subprocess.Popen(
        [sys.executable, "-m", "tests.agent.worker_jobs", tmp_path],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "good.wav\n"
        os.killpg(process.pid, signal.SIGINT)
        try:
            # Ends when no process is left that could write there.
            _, noise = process.communicate(timeout=60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert noise.count("Traceback") == 1
    assert "KeyboardInterrupt" in noise
