"""What commands and the agent tell each other arrives whole, in order, once, or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moodzone_agent.background import control
from moodzone_agent.background.control import AgentStatus, Request, WatchedFolder
from moodzone_agent.config import Places
from moodzone_agent.errors import UsageError
from tests.agent.conftest import no_root

ROOT = Path(__file__).resolve().parents[2]
TEXT = st.text(st.characters(), max_size=20)
STATUS = AgentStatus(
    pid=7,
    started=datetime(2026, 3, 1, 12, 0, 1, tzinfo=UTC),
    state="waiting for Serato DJ",
    queue=3,
    rate=120.5,
    waiting=312,
    waiting_for="Serato DJ is running",
    errors=("a.mp3: cannot be read", "b.mp3: vanished"),
    champion="pretrained-1",
    labels=4,
    retraining="after 16 more labels",
    folders=(WatchedFolder("/music/Caf\udce9", "events"),),
    versions={"moodzone": "1.0"},
)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places.under(tmp_path / "home")


def test_the_status_is_read_as_it_was_told(places: Places) -> None:
    assert control.read_status(places) is None
    assert control.write_status(places, STATUS)
    assert control.read_status(places) == STATUS
    assert control.write_status(places, AgentStatus())
    assert control.read_status(places) == AgentStatus()
    assert [path.name for path in places.agent.iterdir()] == ["agent.json"]
    control.clear_status(places)
    control.clear_status(places)
    assert control.read_status(places) is None


@given(
    st.builds(
        AgentStatus,
        pid=st.integers(0),
        started=st.datetimes(timezones=st.just(UTC)),
        state=TEXT,
        queue=st.integers(0),
        rate=st.floats(0, 1e9),
        errors=st.lists(TEXT).map(tuple),
        folders=st.lists(st.builds(WatchedFolder, TEXT, TEXT)).map(tuple),
        versions=st.dictionaries(TEXT, TEXT),
    )
)
def test_any_status_is_read_as_it_was_told(
    tmp_path_factory: pytest.TempPathFactory, status: AgentStatus
) -> None:
    places = Places.under(tmp_path_factory.mktemp("home"))
    assert control.write_status(places, status)
    assert control.read_status(places) == status


def test_the_status_of_another_version_is_understood(places: Places) -> None:
    places.agent.mkdir(parents=True)
    (places.agent / "agent.json").write_text('{"pid": 7, "mood": "good", "rate": 2}')
    assert control.read_status(places) == AgentStatus(pid=7, rate=2.0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pid", "7"),
        ("pid", True),
        ("pid", None),
        ("started", 5),
        ("started", "yesterday"),
        ("queue", 1.5),
        ("errors", "none"),
        ("folders", [1]),
        ("folders", [{"path": "/"}]),
        ("versions", []),
    ],
)
def test_a_status_with_a_wrong_value_counts_as_damaged(places: Places, key: str, value: object) -> None:
    control.write_status(places, STATUS)
    path = places.agent / "agent.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    assert control.read_status(places) is None


def test_a_status_cut_at_any_byte_is_damaged_and_no_error(places: Places) -> None:
    control.write_status(places, STATUS)
    path = places.agent / "agent.json"
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        assert control.read_status(places) is None
    for rubbish in (b"[]", b"7", b"\xff", b"[" * 100_000):
        path.write_bytes(rubbish)
        assert control.read_status(places) is None


def test_a_status_that_cannot_be_told_stops_nothing(places: Places) -> None:
    places.agent.parent.mkdir()
    places.agent.write_text("a file")
    assert not control.write_status(places, STATUS)
    assert control.read_status(places) is None


def test_requests_come_in_order_and_once(places: Places) -> None:
    assert control.take_requests(places) == []
    asked = [Request.PAUSE, Request.RESUME, Request.FLUSH, Request.RESUME, Request.PAUSE, *Request]
    for what in asked:
        control.request(places, what)
    assert control.take_requests(places) == asked
    assert control.take_requests(places) == []
    assert list((places.agent / "requests").iterdir()) == []


def test_clocks_and_long_numbers_do_not_matter(places: Places) -> None:
    folder = places.agent / "requests"
    folder.mkdir(parents=True)
    (folder / "999999-resume").touch()
    control.request(places, Request.PAUSE)
    assert control.take_requests(places) == [Request.RESUME, Request.PAUSE]


def test_unknown_requests_are_dropped_and_foreign_files_left(places: Places) -> None:
    folder = places.agent / "requests"
    folder.mkdir(parents=True)
    (folder / "000001-dance").touch()
    (folder / "notes.txt").touch()
    (folder / "000002-flush").mkdir()
    control.request(places, Request.STOP)
    assert control.take_requests(places) == [Request.STOP]
    assert {path.name for path in folder.iterdir()} == {"notes.txt", "000002-flush"}


def test_a_new_agent_is_not_stopped_by_what_was_asked_of_the_last(places: Places) -> None:
    for what in (Request.STOP, Request.PAUSE, Request.STOP):
        control.request(places, what)
    assert control.take_requests(places, starting=True) == [Request.PAUSE]
    control.request(places, Request.STOP)
    assert control.take_requests(places) == [Request.STOP]


def test_many_commands_at_once_lose_no_request(places: Places) -> None:
    code = (
        "import sys; from pathlib import Path; from moodzone_agent.background import control\n"
        "from moodzone_agent.config import Places\n"
        "for _ in range(50): control.request(Places.under(Path(sys.argv[1])), control.Request(sys.argv[2]))"
    )
    asked = (Request.FLUSH, Request.FLUSH, Request.RELOAD)
    commands = [
        subprocess.Popen([sys.executable, "-c", code, str(places.agent.parent), what], cwd=ROOT)
        for what in asked
    ]
    taken: list[Request] = []
    while any(command.poll() is None for command in commands):
        taken += control.take_requests(places)
    taken += control.take_requests(places)
    assert [command.returncode for command in commands] == [0, 0, 0]
    assert Counter(taken) == {Request.FLUSH: 100, Request.RELOAD: 50}


def test_requests_that_cannot_be_taken_wait(tmp_path: Path) -> None:
    places = Places.under(tmp_path)
    control.request(places, Request.FLUSH)
    folder = places.agent / "requests"
    tmp_path.chmod(0o755)
    for mode in (0o000, 0o555):
        folder.chmod(mode)
        with no_root():
            assert control.take_requests(places) == []
    folder.chmod(0o755)
    assert control.take_requests(places) == [Request.FLUSH]


def test_what_cannot_be_asked_is_told(places: Places) -> None:
    places.agent.mkdir(parents=True)
    (places.agent / "requests").write_text("a file")
    assert control.take_requests(places) == []
    with pytest.raises(UsageError, match="cannot be asked"):
        control.request(places, Request.FLUSH)


def test_pause_outlasts_the_agent(places: Places) -> None:
    assert control.paused_since(places) is None
    control.resume(places)
    control.pause(places)
    since = control.paused_since(places)
    assert since
    assert timedelta() <= datetime.now(UTC) - since < timedelta(minutes=1)
    control.pause(places)
    assert control.paused_since(places) == since
    control.resume(places)
    assert control.paused_since(places) is None


@pytest.mark.parametrize("content", [b"", b"\xff", b"yesterday", b"2026-01-01T00:00:00"])
def test_a_damaged_pause_is_a_pause(places: Places, content: bytes) -> None:
    places.agent.mkdir(parents=True)
    (places.agent / "paused").write_bytes(content)
    since = control.paused_since(places)
    assert since
    assert since.tzinfo


def test_a_pause_that_cannot_be_noted_is_told(places: Places) -> None:
    places.agent.mkdir(parents=True)
    control.pause(places)
    places.agent.chmod(0o555)
    with no_root(), pytest.raises(UsageError, match="stays paused"):
        control.resume(places)
    places.agent.chmod(0o755)
    control.resume(places)
    places.agent.rmdir()
    places.agent.write_text("a file")
    with pytest.raises(UsageError, match="not stay paused"):
        control.pause(places)


def test_erasing_leaves_what_is_not_ours(places: Places) -> None:
    control.erase(places)
    control.pause(places)
    control.write_status(places, STATUS)
    control.request(places, Request.FLUSH)
    (places.agent / ".mz-00000000.tmp").touch()
    (places.agent / "requests" / "notes.txt").touch()
    control.erase(places)
    assert [path.name for path in places.agent.rglob("*") if path.is_file()] == ["notes.txt"]
