"""The agent as each system wants it described: one description, three texts.

- systemd: a user unit, quoted as in systemd.syntax(7) and systemd.service(5).
- launchd: a property list, as in launchd.plist(5).
- Task Scheduler: XML for ``schtasks /Create /XML``, as in [MS-TSCH] 2.5.
"""

from __future__ import annotations

import plistlib
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from xml.etree import ElementTree as ET

from moodzone_agent.errors import UsageError

MARKER: Final = "Written by `moodzone agent install`, removed by `moodzone agent uninstall`."
"""Stands in each of the files; one without it isn't ours."""
UNIT: Final = "moodzone.service"
LABEL: Final = "org.moodzone.agent"
TASK: Final = "MoodZone"

_TITLE: Final = "MoodZone rates new music"
_NAMESPACE: Final = "http://schemas.microsoft.com/windows/2004/02/mit/task"
_STOP_SECONDS: Final = 5
_RESTART_SECONDS: Final = 30
_MOST_RESTARTS: Final = 5
_NOT_IN_A_PROGRAM: Final = set("\"'\\")
"""systemd takes no path of a program that holds one of these, however quoted."""


@dataclass(frozen=True, slots=True)
class Service:
    """What is to run in the background from login on, last in every queue, and again after a failure."""

    command: tuple[str, ...]
    """The program's absolute path, then its arguments."""
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    """Who logs in; only Windows asks."""


def expect_plain(service: Service) -> None:
    """Raises UsageError for texts that none of the three formats can hold."""
    for text in (*service.command, *service.environment.values(), service.user):
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            wrong = True
        else:
            # XML 1.0 has no way to write these.
            wrong = bool(re.search(r"[\x00-\x1f\x7f-\x9f\ufffe\uffff]", text))
        if wrong:
            raise UsageError(
                f"{text!r} holds characters that a description of a service cannot hold; "
                "rename that folder, or install MoodZone elsewhere"
            )


def systemd_unit(service: Service) -> bytes:
    """The text of ``moodzone.service``; systemd 244 or later."""
    command = service.command
    if _NOT_IN_A_PROGRAM & set(command[0]):
        command = ("/bin/sh", "-c", 'exec "$0" "$@"', *command)
    # The colon keeps systemd from replacing $NAME.
    start = ":" + " ".join(map(_quoted, command))
    environment = [f"Environment={_quoted(f'{name}={value}')}" for name, value in service.environment.items()]
    lines = [
        f"# {MARKER}",
        "[Unit]",
        f"Description={_TITLE}",
        f"StartLimitIntervalSec={2 * _RESTART_SECONDS * _MOST_RESTARTS}",
        f"StartLimitBurst={_MOST_RESTARTS}",
        "",
        "[Service]",
        "Type=exec",
        f"ExecStart={start}",
        *environment,
        "Restart=on-failure",
        f"RestartSec={_RESTART_SECONDS}",
        "# 2 is wrong use, which does not get better; 3 was stopped.",
        "RestartPreventExitStatus=2",
        "SuccessExitStatus=3",
        "# The agent alone is told to stop: workers that die with it would look like damaged files.",
        "KillMode=mixed",
        "KillSignal=SIGTERM",
        f"TimeoutStopSec={_STOP_SECONDS}",
        "Nice=19",
        "IOSchedulingClass=idle",
        "CPUWeight=10",
        "IOWeight=10",
        "# Music may lie and be written anywhere, so the file system is not narrowed.",
        "NoNewPrivileges=yes",
        "RestrictAddressFamilies=AF_UNIX",
        "RestrictNamespaces=yes",
        "RestrictRealtime=yes",
        "RestrictSUIDSGID=yes",
        "LockPersonality=yes",
        "SystemCallArchitectures=native",
        "",
        "[Install]",
        "WantedBy=default.target",
        "",
    ]
    return "\n".join(lines).encode()


def launchd_plist(service: Service) -> bytes:
    """The text of ``org.moodzone.agent.plist``."""
    described = plistlib.dumps(
        {
            "Label": LABEL,
            "ProgramArguments": list(service.command),
            "EnvironmentVariables": dict(service.environment),
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ThrottleInterval": _RESTART_SECONDS,
            "ExitTimeOut": _STOP_SECONDS,
            "ProcessType": "Background",
            "Nice": 19,
            "LowPriorityIO": True,
            "LowPriorityBackgroundIO": True,
        },
        sort_keys=False,
    )
    return described.replace(b"<plist", f"<!-- {MARKER} -->\n<plist".encode(), 1)


def task_xml(service: Service) -> bytes:
    """The text of the task, in UTF-16 as Task Scheduler writes it.

    A task has no environment of its own, so Python sets it before it runs the module. Errors: `UsageError` for a
    program's path in which Task Scheduler would replace something.
    """
    program, *arguments = service.command
    if service.environment:
        arguments = _with_environment(arguments, service.environment)
    line = subprocess.list2cmdline(arguments)
    for text in (program, line):
        if re.search(r"%[^%]+%|\$\(", text):
            raise UsageError(
                f"Task Scheduler would replace a part of {text}; install MoodZone in a folder "
                "whose name holds neither % nor $("
            )
    task = ET.Element("Task", {"version": "1.2", "xmlns": _NAMESPACE})
    _add(task, "RegistrationInfo", {"Description": f"{_TITLE}. {MARKER}"})
    trigger = {"Enabled": "true", "UserId": service.user}
    ET.SubElement(task, "Triggers").append(_element("LogonTrigger", trigger))
    who = {"UserId": service.user, "LogonType": "InteractiveToken", "RunLevel": "LeastPrivilege"}
    ET.SubElement(task, "Principals").append(_element("Principal", who, id="Author"))
    settings = _add(
        task,
        "Settings",
        {
            "MultipleInstancesPolicy": "IgnoreNew",
            "DisallowStartIfOnBatteries": "false",  # the agent itself rests on battery
            "StopIfGoingOnBatteries": "false",
            "AllowHardTerminate": "true",
            "StartWhenAvailable": "true",
            "RunOnlyIfNetworkAvailable": "false",
            "AllowStartOnDemand": "true",
            "Enabled": "true",
            "Hidden": "false",
            "RunOnlyIfIdle": "false",
            "WakeToRun": "false",
            "ExecutionTimeLimit": "PT0S",
            "Priority": "9",
        },
    )
    settings.append(_element("RestartOnFailure", {"Interval": "PT1M", "Count": str(_MOST_RESTARTS)}))
    actions = ET.SubElement(task, "Actions", {"Context": "Author"})
    actions.append(_element("Exec", {"Command": program, "Arguments": line}))
    written: bytes = ET.tostring(task, encoding="utf-16", xml_declaration=True)
    return written


def is_ours(content: bytes) -> bool:
    """Whether a file's content is one of these texts."""
    return any(MARKER.encode(encoding) in content for encoding in ("utf-8", "utf-16-le", "utf-16-be"))


def _quoted(text: str) -> str:
    """One word for systemd: in quotes, with what it would replace escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _with_environment(arguments: list[str], environment: Mapping[str, str]) -> list[str]:
    """Arguments of Python that set the environment, then run the module of ``-m`` with what follows it."""
    at = arguments.index("-m")
    module, *rest = arguments[at + 1 :]
    # As escapes, for Task Scheduler replaces %NAME% and $(Arg0), and the command line has rules for quotes.
    told = {name: "".join(_escape(letter) for letter in value) for name, value in environment.items()}
    values = ", ".join(f"'{name}': '{value}'" for name, value in told.items())
    code = f"import os, runpy; os.environ.update({{{values}}}); runpy.run_module('{module}', None, '__main__', True)"
    return [*arguments[:at], "-c", code, *rest]


def _escape(letter: str) -> str:
    return (
        letter if letter.isascii() and (letter.isalnum() or letter in " :/._-") else f"\\U{ord(letter):08x}"
    )


def _element(name: str, texts: Mapping[str, str], **attributes: str) -> ET.Element:
    element = ET.Element(name, attributes)
    for key, text in texts.items():
        ET.SubElement(element, key).text = text
    return element


def _add(parent: ET.Element, name: str, texts: Mapping[str, str]) -> ET.Element:
    element = _element(name, texts)
    parent.append(element)
    return element
