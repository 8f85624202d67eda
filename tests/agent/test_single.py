"""One agent for each library, whatever becomes of the process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from moodzone_agent.background.single import AgentLock, holder
from moodzone_agent.config import Places
from moodzone_agent.errors import UsageError
from tests.agent.conftest import no_root

ROOT = Path(__file__).resolve().parents[2]
AGENT = """
import sys
from pathlib import Path
from moodzone_agent.config import Places
from moodzone_agent.background.single import AgentLock
with AgentLock(Places.under(Path(sys.argv[1]))):
    print("runs", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_agent(home: Path) -> Iterator[subprocess.Popen[str]]:
    agent = subprocess.Popen(
        [sys.executable, "-c", AGENT, str(home)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with agent:
        assert agent.stdout
        assert agent.stdout.readline() == "runs\n"
        try:
            yield agent
        finally:
            agent.kill()


def test_a_second_agent_is_told_of_the_first(tmp_path: Path) -> None:
    places = Places.under(tmp_path)
    assert holder(places) is None
    with another_agent(tmp_path) as agent:
        found = holder(places)
        assert found
        assert found.pid == agent.pid
        assert timedelta() <= datetime.now(UTC) - found.started < timedelta(minutes=1)
        with (
            pytest.raises(UsageError, match=rf"process {agent.pid}, since .*`moodzone agent stop`"),
            AgentLock(places),
        ):
            pass
        assert holder(places) == found


def test_the_lock_of_an_agent_that_was_killed_is_free(tmp_path: Path) -> None:
    places = Places.under(tmp_path)
    with another_agent(tmp_path) as agent:
        agent.kill()
        agent.wait()
        assert (places.agent / "lock").read_text()
        assert holder(places) is None
        with AgentLock(places):
            found = holder(places)
            assert found
            assert found.pid == os.getpid()
    with AgentLock(places):
        pass


def test_another_process_with_the_same_number_is_no_agent(tmp_path: Path) -> None:
    places = Places.under(tmp_path)
    with AgentLock(places):
        assert holder(places)
        lock = places.agent / "lock"
        lock.write_text(json.dumps(json.loads(lock.read_text()) | {"process": "an earlier one"}))
        assert holder(places) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', '{"pid": 1, "started": 2}', "\x00" * 99])
def test_a_damaged_record_names_nobody_and_stops_nobody(tmp_path: Path, text: str) -> None:
    places = Places.under(tmp_path)
    places.agent.mkdir()
    (places.agent / "lock").write_text(text)
    assert holder(places) is None
    with AgentLock(places):
        assert holder(places)


def test_the_one_that_just_started_is_told_without_a_name(tmp_path: Path) -> None:
    places = Places.under(tmp_path)
    with AgentLock(places):
        (places.agent / "lock").write_text("")
        with pytest.raises(UsageError, match="just started"), AgentLock(places):
            pass


def test_a_lock_that_cannot_be_kept_is_told(tmp_path: Path) -> None:
    (tmp_path / "agent").write_text("a file")
    with pytest.raises(UsageError, match="cannot be kept"), AgentLock(Places.under(tmp_path)):
        pass
    (tmp_path / "agent").unlink()
    (tmp_path / "agent").mkdir(mode=0o555)
    with no_root(), pytest.raises(UsageError, match="writable"), AgentLock(Places.under(tmp_path)):
        pass


def test_erasing_leaves_nothing(tmp_path: Path) -> None:
    places = Places.under(tmp_path)
    with AgentLock(places) as lock:
        lock.erase()
    assert list(places.agent.iterdir()) == []
