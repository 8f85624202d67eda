"""The agent as a service of the user's own: begun at login, ended at logout, never as an administrator."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from exporters.filesystem import replace_file
from moodzone_agent.background.service_files import (
    LABEL,
    TASK,
    UNIT,
    Service,
    expect_plain,
    is_ours,
    launchd_plist,
    systemd_unit,
    task_xml,
)
from moodzone_agent.config import HOME_VARIABLE, Places
from moodzone_agent.errors import UsageError

_TIMEOUT_SECONDS: Final = 60
_BY_HAND: Final = "start the agent by hand: `moodzone agent run`"

Command = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool of the system said."""

    code: int
    text: str = ""


Runner = Callable[[Command], Answer]


@dataclass(frozen=True, slots=True)
class Step:
    """Something that was done, or that is left to the user to do."""

    text: str
    done: bool = True


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """What is installed."""

    file: Path
    installed: bool
    """Whether the file is there, and ours."""
    is_current: bool = False
    """Whether it says what would be installed now; not where Python or ``MOODZONE_HOME`` has changed since."""
    detail: str = ""
    """What the system says of it, in its own words."""


@dataclass(frozen=True, slots=True)
class _Manager:
    """How a system is told of a service. Commands run in order."""

    name: str
    file: Path
    text: Callable[[Service], bytes]
    ask: Command
    """Answers if services can be had at all."""
    clear: tuple[Command, ...]
    """End what runs, before the file is registered or deleted; may fail, since nothing may run."""
    register: tuple[Command, ...]
    stop: tuple[Command, ...]
    """Before the file is deleted."""
    forget: tuple[Command, ...]
    """After it."""
    state: Command
    must_answer: bool = False
    """Whether a failure of `ask` says that there are no services, and not only that they are asked differently."""


def this_service() -> Service:
    """The agent, run by the Python that runs this."""
    home = os.environ.get(HOME_VARIABLE)
    python = Path(sys.executable)
    user = ""
    if sys.platform == "win32":
        without_window = python.with_name("pythonw.exe")
        python = without_window if without_window.exists() else python
        user = "\\".join(filter(None, map(os.environ.get, ("USERDOMAIN", "USERNAME"))))
    return Service(
        # -P: else a file of the user's named like a module of Python's would be run in its place.
        command=(str(python), "-P", "-m", "moodzone_agent", "agent", "run"),
        environment={HOME_VARIABLE: str(Path(home).expanduser().absolute())} if home else {},
        user=user,
    )


def run_tool(command: Command) -> Answer:
    """Run a tool of the system. Errors: `UsageError` if it isn't there, or doesn't answer."""
    try:
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_SECONDS,
            check=False,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # Windows only
        )
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"`{command[0]}` does not answer; log out and in and try again, or {_BY_HAND}"
        ) from None
    except OSError as error:
        raise UsageError(f"there is no `{command[0]}` here ({error.strerror}); {_BY_HAND}") from error
    return Answer(result.returncode, " ".join(result.stdout.split()))


def install(
    places: Places,
    *,
    service: Service | None = None,
    runner: Runner = run_tool,
    platform: str = sys.platform,
) -> list[Step]:
    """Have the system run the agent from now on, and at each login; again, to bring it up to date.

    Returns what was done, and what the user must do. Errors: `UsageError` if the system has no such services, or the
    file can't be written or belongs to somebody else.
    """
    wanted = service or this_service()
    expect_plain(wanted)
    manager = _manager(places, platform)
    text = manager.text(wanted)
    _expect_services(manager, runner)
    before = _content(manager.file)
    if before is not None and not is_ours(before):
        raise UsageError(f"{manager.file} was not written by MoodZone; move it away and run this again")
    steps = []
    if before != text:
        try:
            manager.file.parent.mkdir(parents=True, exist_ok=True)
            replace_file(manager.file, text)
        except OSError as error:
            raise UsageError(
                f"{manager.file} cannot be written ({error.strerror}); make its folder writable, or {_BY_HAND}"
            ) from error
        steps.append(Step(f"wrote {manager.file}"))
    _clear(manager, runner)
    return steps + _run(manager.register, runner)


def uninstall(places: Places, *, runner: Runner = run_tool, platform: str = sys.platform) -> list[Step]:
    """Stop the agent and have the system forget it; nothing is done where it isn't installed.

    A file that isn't ours stays. Errors: `UsageError` if the file can't be deleted.
    """
    manager = _manager(places, platform)
    content = _content(manager.file)
    if content is None:
        return []
    if not is_ours(content):
        return [Step(f"{manager.file} was not written by MoodZone; see to it yourself", done=False)]
    _clear(manager, runner)
    steps = _run(manager.stop, runner)
    try:
        manager.file.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            f"{manager.file} cannot be deleted ({error.strerror}); delete it yourself"
        ) from error
    return [*steps, Step(f"deleted {manager.file}"), *_run(manager.forget, runner)]


def status(
    places: Places,
    *,
    service: Service | None = None,
    runner: Runner = run_tool,
    platform: str = sys.platform,
) -> ServiceStatus:
    """What is installed. The system is asked only if something is; whether the agent runs, `single.holder` says.

    Errors: `UsageError` if the file can't be read.
    """
    manager = _manager(places, platform)
    content = _content(manager.file)
    if content is None or not is_ours(content):
        return ServiceStatus(manager.file, installed=False)
    try:
        is_current = content == manager.text(service or this_service())
        answer = runner(manager.state)
    except UsageError as error:
        return ServiceStatus(manager.file, installed=True, detail=str(error))
    return ServiceStatus(manager.file, installed=True, is_current=is_current, detail=answer.text)


def _manager(places: Places, platform: str) -> _Manager:
    if platform == "win32":
        return _task_scheduler(places)
    return _launchd() if platform == "darwin" else _systemd()


def _systemd() -> _Manager:
    told = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    config = told if told.is_absolute() else Path.home() / ".config"
    user = ("systemctl", "--user")
    return _Manager(
        name="systemd",
        file=config / "systemd" / "user" / UNIT,
        text=systemd_unit,
        ask=(*user, "show-environment"),
        must_answer=True,
        clear=(),
        # Restarted, so that a changed file counts at once.
        register=((*user, "daemon-reload"), (*user, "enable", UNIT), (*user, "restart", UNIT)),
        stop=((*user, "disable", "--now", UNIT),),
        forget=((*user, "daemon-reload"),),
        state=(*user, "is-active", UNIT),
    )


def _launchd() -> _Manager:
    file = Path.home() / "Library" / "LaunchAgents" / f"{LABEL}.plist"
    domain = f"gui/{getattr(os, 'getuid', int)()}"  # Windows has none, but checks these types
    return _Manager(
        name="launchd",
        file=file,
        text=launchd_plist,
        ask=("launchctl", "managername"),
        clear=(("launchctl", "bootout", f"{domain}/{LABEL}"),),
        register=(
            ("launchctl", "enable", f"{domain}/{LABEL}"),
            ("launchctl", "bootstrap", domain, str(file)),
        ),
        stop=(),
        forget=(),
        state=("launchctl", "print", f"{domain}/{LABEL}"),
    )


def _task_scheduler(places: Places) -> _Manager:
    file = places.agent / "task.xml"
    return _Manager(
        name="Task Scheduler",
        file=file,
        text=task_xml,
        ask=("schtasks", "/Query", "/TN", "\\"),
        clear=(("schtasks", "/End", "/TN", TASK),),
        register=(
            ("schtasks", "/Create", "/TN", TASK, "/XML", str(file), "/F"),
            ("schtasks", "/Run", "/TN", TASK),
        ),
        stop=(("schtasks", "/Delete", "/TN", TASK, "/F"),),
        forget=(),
        state=("schtasks", "/Query", "/TN", TASK, "/FO", "LIST"),
    )


def _expect_services(manager: _Manager, runner: Runner) -> None:
    answer = runner(manager.ask)
    if answer.code != 0 and manager.must_answer:
        raise UsageError(f"{manager.name} runs no services for you here ({answer.text}); {_BY_HAND}")


def _clear(manager: _Manager, runner: Runner) -> None:
    for command in manager.clear:
        with suppress(UsageError):
            runner(command)


def _run(commands: Sequence[Command], runner: Runner) -> list[Step]:
    """Run commands; one that fails is left to the user, with its reason."""
    steps = []
    for command in commands:
        line = shlex.join(command)
        try:
            answer = runner(command)
        except UsageError as error:
            answer = Answer(1, str(error))
        if answer.code == 0:
            steps.append(Step(f"ran `{line}`"))
        else:
            steps.append(Step(f"`{line}` failed ({answer.text or answer.code}): run it yourself", done=False))
    return steps


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error.strerror}); see to its permissions") from error
