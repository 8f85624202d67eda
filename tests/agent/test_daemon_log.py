"""The agent's log stays small, however much it has to tell."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from moodzone_agent.background import daemon
from moodzone_agent.background.control import LOG_NAME
from moodzone_agent.background.daemon import keep_log


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """The program's logger, which is left as it was."""
    ours = logging.getLogger("moodzone_agent")
    handlers, level = list(ours.handlers), ours.level
    yield ours
    for handler in [handler for handler in ours.handlers if handler not in handlers]:
        ours.removeHandler(handler)
        handler.close()
    ours.setLevel(level)


def test_it_is_rotated_and_old_ones_go(tmp_path: Path, logger: logging.Logger) -> None:
    folder = tmp_path / "agent"
    keep_log(folder)
    size = 10_000
    count = 6 * daemon._LOG_BYTES // size
    for number in range(count):
        logging.getLogger("moodzone_agent.background").info("line %06d %s", number, "x" * size)
    files = {path.name: path for path in folder.iterdir()}
    assert set(files) == {LOG_NAME, *(f"{LOG_NAME}.{number}" for number in range(1, daemon._LOGS_KEPT + 1))}
    assert all(path.stat().st_size <= daemon._LOG_BYTES for path in files.values())
    text = "".join(files[name].read_text() for name in sorted(files, reverse=True) if name != LOG_NAME)
    text += files[LOG_NAME].read_text()
    kept = [int(line.split("line ")[1].split()[0]) for line in text.splitlines()]
    assert kept == list(range(kept[0], count))  # the newest, and no gap
    assert kept[0] > 0


def test_what_stands_there_stays_at_the_next_start(
    tmp_path: Path, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Such a name in what pytest captures doesn't get from one of its processes to another.
    monkeypatch.setattr(logger, "propagate", False)
    (tmp_path / LOG_NAME).write_text("of an earlier start\n")
    keep_log(tmp_path)
    logger.info("a name that is no UTF-8: %s", "Caf\udce9.mp3")
    logger.debug("not for users")
    first, second = (tmp_path / LOG_NAME).read_text().splitlines()
    assert first == "of an earlier start"
    assert second.endswith(r" INFO a name that is no UTF-8: Caf\udce9.mp3")
