"""The service is described, installed and removed as each system wants it; a fake stands for the systems' tools."""

from __future__ import annotations

import os
import plistlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from moodzone_agent.background import service as service_module
from moodzone_agent.background.service import (
    Answer,
    Command,
    Step,
    install,
    run_tool,
    status,
    this_service,
    uninstall,
)
from moodzone_agent.background.service_files import (
    MARKER,
    Service,
    expect_plain,
    is_ours,
    launchd_plist,
    systemd_unit,
    task_xml,
)
from moodzone_agent.config import HOME_VARIABLE, Places
from moodzone_agent.errors import UsageError

NAMESPACE = {"t": "http://schemas.microsoft.com/windows/2004/02/mit/task"}
MODULE = ("-P", "-m", "moodzone_agent", "agent", "run")
PLATFORMS = ("linux", "darwin", "win32")
NASTY = " %$&<>\"'\\;#={}()~*?!@:+-|`^,äé音"
LETTERS = st.sampled_from(NASTY + "ahnstuxUTEMP01") | st.characters(
    codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]
)
TEXTS = st.text(LETTERS, min_size=1, max_size=30)


class System:
    """Notes what its tools are asked, and fails where told."""

    def __init__(self, fails: str = "") -> None:
        self.asked: list[str] = []
        self.fails = fails

    def __call__(self, command: Command) -> Answer:
        self.asked.append(" ".join(command))
        if self.fails and re.search(self.fails, self.asked[-1]):
            return Answer(1, "no such luck")
        return Answer(0, "active")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv(HOME_VARIABLE, raising=False)
    return tmp_path / "home"


@pytest.fixture
def places(home: Path) -> Places:
    return Places.under(home / "moodzone")


def unit_words(line: str) -> list[str]:
    """A line of a unit split as systemd.syntax(7) and systemd.unit(5) have it: quotes, C escapes, specifiers."""
    words, word, quote, at = [], "", "", 0
    inside = False
    while at < len(line):
        letter = line[at]
        if letter == "\\":
            word += {"\\": "\\", '"': '"', "'": "'", "s": " ", "n": "\n", "t": "\t"}[line[at + 1]]
            at += 1
        elif letter == quote:
            quote = ""
        elif not quote and letter in "\"'":
            quote, inside = letter, True
        elif not quote and letter == " ":
            if word or inside:
                words.append(word)
            word, inside = "", False
        else:
            word += letter
        at += 1
    assert not quote
    assert not re.search(r"%(?!%)", "".join([*words, word]).replace("%%", "")), "a specifier"
    return [told.replace("%%", "%") for told in [*words, word]]


def unit_keys(unit: bytes) -> dict[str, str]:
    lines = unit.decode().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


@given(program=TEXTS, home=TEXTS)
@example(program="a b%h$HOME${HOME}$$", home='%t "$x" \\')
@example(program="it's", home="'")
def test_systemd_is_told_what_is_meant(program: str, home: str) -> None:
    unit = systemd_unit(Service((f"/{program}", *MODULE), {HOME_VARIABLE: f"/{home}"}))
    keys = unit_keys(unit)
    words = unit_words(keys["ExecStart"].removeprefix(":"))
    if words[0] == "/bin/sh":
        result = subprocess.run(
            ["/bin/sh", "-c", words[2].replace("exec", "printf '%s\\0'", 1), *words[3:]],
            capture_output=True,
            check=True,
        )
        words = result.stdout.decode().split("\0")[:-1]
    assert keys["ExecStart"].startswith(":")
    assert words == [f"/{program}", *MODULE]
    assert unit_words(keys["Environment"]) == [f"{HOME_VARIABLE}=/{home}"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@hypothesis_settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(program=TEXTS.filter(lambda text: "/" not in text and text not in {".", ".."}), home=TEXTS)
@example(program=re.sub(r"[\"'\\]", "", NASTY), home=NASTY)
@example(program="a\\b", home="\\")
def test_systemd_itself_reads_it(tmp_path: Path, program: str, home: str) -> None:
    """All it finds wrong is that there is no such program, whose path it names."""
    path = f"/no/such/{program}"
    unit = tmp_path / "moodzone.service"
    unit.write_bytes(systemd_unit(Service((path, *MODULE), {HOME_VARIABLE: f"/{home}"})))
    result = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(unit)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        check=False,
    )
    if set(program) & set("\"'\\"):  # then it is sh that looks for it
        assert (result.stdout, result.returncode) == ("", 0)
    else:
        assert f"Command {path} is not executable" in result.stdout
        assert result.stdout.count("\n") == 1


def test_the_unit_is_quiet_and_stops_gently() -> None:
    keys = unit_keys(systemd_unit(Service(("/python", *MODULE))))
    told = {
        "Nice": "19",
        "IOSchedulingClass": "idle",
        "CPUWeight": "10",
        "Restart": "on-failure",
        "TimeoutStopSec": "5",
        "KillSignal": "SIGTERM",
        "KillMode": "mixed",
        "NoNewPrivileges": "yes",
        "WantedBy": "default.target",
    }
    assert told.items() <= keys.items()
    assert int(keys["StartLimitIntervalSec"]) > int(keys["StartLimitBurst"]) * int(keys["RestartSec"])
    assert not [key for key in keys if key.startswith(("Protect", "Private", "ReadOnly", "Inaccessible"))]
    assert "Environment" not in keys


@given(program=TEXTS, home=TEXTS)
def test_launchd_is_told_what_is_meant(program: str, home: str) -> None:
    told = plistlib.loads(launchd_plist(Service((f"/{program}", *MODULE), {HOME_VARIABLE: f"/{home}"})))
    assert told["ProgramArguments"] == [f"/{program}", *MODULE]
    assert told["EnvironmentVariables"] == {HOME_VARIABLE: f"/{home}"}
    assert (told["RunAtLoad"], told["KeepAlive"]) == (True, {"SuccessfulExit": False})
    assert (told["Nice"], told["LowPriorityIO"], told["ProcessType"]) == (19, True, "Background")


def windows_words(line: str) -> list[str]:
    """A command line split as CommandLineToArgvW does."""
    words = []
    for match in re.finditer(r'(?:[^\s"]|"(?:[^"\\]|\\.)*")+', line):
        word = re.sub(r'\\(\\*")', r"\1", match[0])
        words.append(word.replace('"', ""))
    return words


def task_texts(task: bytes) -> tuple[str, str]:
    tree = ET.fromstring(task)
    command = tree.findtext("t:Actions/t:Exec/t:Command", None, NAMESPACE)
    arguments = tree.findtext("t:Actions/t:Exec/t:Arguments", None, NAMESPACE)
    assert command
    assert arguments
    return command, arguments


@given(program=TEXTS, user=TEXTS)
def test_task_scheduler_is_told_what_is_meant(program: str, user: str) -> None:
    service = Service((f"C:\\{program}", *MODULE), user=f"PC\\{user}")
    try:
        task = task_xml(service)
    except UsageError:
        assert re.search(r"%[^%]+%|\$\(", program)
        return
    assert task_texts(task) == (f"C:\\{program}", " ".join(MODULE))
    tree = ET.fromstring(task)
    for place in ("Triggers/t:LogonTrigger", "Principals/t:Principal"):
        assert tree.findtext(f"t:{place}/t:UserId", None, NAMESPACE) == f"PC\\{user}"
    settings = {
        key: tree.findtext(f"t:Settings/t:{key}", None, NAMESPACE)
        for key in ("Priority", "ExecutionTimeLimit")
    }
    assert settings == {"Priority": "9", "ExecutionTimeLimit": "PT0S"}
    assert tree.findtext("t:Settings/t:RestartOnFailure/t:Count", None, NAMESPACE) == "5"


@pytest.mark.parametrize("path", ["C:\\%TEMP%\\python.exe", "C:\\$(Arg0)\\python.exe"])
def test_a_program_that_task_scheduler_would_not_find_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="install MoodZone in a folder"):
        task_xml(Service((path, *MODULE)))


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(home=TEXTS)
@example(home='%TEMP% $(Arg0) "\\" \\')
@example(home="C:\\Users\\Zoë's music\\")
def test_a_task_sets_the_environment(tmp_path: Path, home: str) -> None:
    """Python itself runs the arguments, with a module in place of ours."""
    (tmp_path / "moodzone_agent.py").write_text(
        "import os, sys\n"
        "sys.stdout.buffer.write(ascii([os.environ['MOODZONE_HOME'], sys.argv[1:], __name__]).encode())"
    )
    _, line = task_texts(task_xml(Service(("C:\\pythonw.exe", *MODULE[1:]), {HOME_VARIABLE: home})))
    assert not re.search(r"%|\$", line)
    arguments = windows_words(line)
    assert subprocess.list2cmdline(arguments) == line
    result = subprocess.run(
        [
            sys.executable,
            "-I",
            "-c",
            f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{arguments[1]}",
            *arguments[2:],
        ],
        capture_output=True,
        check=True,
    )
    assert result.stdout.decode() == ascii([home, ["agent", "run"], "__main__"])


@pytest.mark.parametrize("path", ["/a\nb", "/a\x00", "/a\udce9", "/a\x85", "/a\uffff"])
def test_what_no_format_holds_is_refused(path: str) -> None:
    for service in (Service((path, *MODULE)), Service(("/python",), {HOME_VARIABLE: path})):
        with pytest.raises(UsageError, match="rename that folder"):
            expect_plain(service)


@pytest.mark.parametrize("write", [systemd_unit, launchd_plist, task_xml])
def test_each_text_is_known_as_ours(write: Callable[[Service], bytes]) -> None:
    text = write(Service(("/python", *MODULE), user="me"))
    assert is_ours(text)
    assert not is_ours(text.replace(MARKER.encode(), b"").replace(MARKER.encode("utf-16-le"), b""))


def test_the_service_is_the_python_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert this_service() == Service((sys.executable, *MODULE))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(HOME_VARIABLE, "here")
    assert this_service().environment == {HOME_VARIABLE: str(tmp_path / "here")}


def test_on_linux(places: Places, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = System()
    file = home / ".config" / "systemd" / "user" / "moodzone.service"
    assert not status(places, runner=system, platform="linux").installed
    assert system.asked == []
    steps = install(places, runner=system, platform="linux")
    assert system.asked == [
        "systemctl --user show-environment",
        "systemctl --user daemon-reload",
        "systemctl --user enable moodzone.service",
        "systemctl --user restart moodzone.service",
    ]
    assert steps[0] == Step(f"wrote {file}")
    assert all(step.done for step in steps)
    assert file.read_bytes() == systemd_unit(this_service())
    assert [path.name for path in file.parent.iterdir()] == ["moodzone.service"]
    told = status(places, runner=system, platform="linux")
    assert (told.file, told.installed, told.is_current, told.detail) == (file, True, True, "active")
    monkeypatch.setenv(HOME_VARIABLE, "/elsewhere")
    assert not status(places, runner=system, platform="linux").is_current
    system.asked.clear()
    assert uninstall(places, runner=system, platform="linux")[1] == Step(f"deleted {file}")
    assert system.asked == [
        "systemctl --user disable --now moodzone.service",
        "systemctl --user daemon-reload",
    ]
    assert not file.exists()
    assert uninstall(places, runner=system, platform="linux") == []


def test_the_user_may_keep_settings_elsewhere(
    places: Places, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert (
        status(places, platform="linux").file == tmp_path / "config" / "systemd" / "user" / "moodzone.service"
    )
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")  # to be ignored, says the standard
    assert status(places, platform="linux").file.is_relative_to(home / ".config")


def test_on_macos(places: Places, home: Path) -> None:
    system = System(fails="bootout")  # nothing runs yet
    file = home / "Library" / "LaunchAgents" / "org.moodzone.agent.plist"
    domain = f"gui/{os.getuid()}"
    assert all(step.done for step in install(places, runner=system, platform="darwin"))
    assert system.asked == [
        "launchctl managername",
        f"launchctl bootout {domain}/org.moodzone.agent",
        f"launchctl enable {domain}/org.moodzone.agent",
        f"launchctl bootstrap {domain} {file}",
    ]
    assert file.read_bytes() == launchd_plist(this_service())
    system.asked.clear()
    assert uninstall(places, runner=system, platform="darwin") == [Step(f"deleted {file}")]
    assert system.asked == [f"launchctl bootout {domain}/org.moodzone.agent"]
    assert not file.exists()


def test_on_windows(places: Places) -> None:
    system = System(fails="/End")
    file = places.agent / "task.xml"
    service = Service(("C:\\Python\\pythonw.exe", *MODULE), user="PC\\me")
    assert all(step.done for step in install(places, service=service, runner=system, platform="win32"))
    assert system.asked == [
        "schtasks /Query /TN \\",
        "schtasks /End /TN MoodZone",
        f"schtasks /Create /TN MoodZone /XML {file} /F",
        "schtasks /Run /TN MoodZone",
    ]
    assert file.read_bytes() == task_xml(service)
    assert status(places, service=service, runner=system, platform="win32").is_current
    system.asked.clear()
    uninstall(places, runner=system, platform="win32")
    assert system.asked == ["schtasks /End /TN MoodZone", "schtasks /Delete /TN MoodZone /F"]
    assert not file.exists()


@pytest.mark.parametrize("platform", PLATFORMS)
def test_installing_again_brings_it_up_to_date(places: Places, platform: str) -> None:
    old, new = (Service((python, *MODULE), user="me") for python in ("/old/python", "/new/python"))
    install(places, service=old, runner=System(), platform=platform)
    steps = install(places, service=new, runner=System(), platform=platform)
    file = status(places, runner=System(), platform=platform).file
    assert steps[0] == Step(f"wrote {file}")
    assert status(places, service=new, runner=System(), platform=platform).is_current
    again = install(places, service=new, runner=System(), platform=platform)
    assert again == steps[1:]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_somebody_else_wrote_stays(places: Places, platform: str) -> None:
    file = status(places, runner=System(), platform=platform).file
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    system = System()
    with pytest.raises(UsageError, match="move it away"):
        install(places, runner=system, platform=platform)
    system.asked.clear()
    assert [step.done for step in uninstall(places, runner=system, platform=platform)] == [False]
    assert not status(places, runner=system, platform=platform).installed
    assert system.asked == []
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("platform", "fails"), [("linux", "restart"), ("darwin", "bootstrap"), ("win32", "/Create")]
)
def test_what_the_system_refuses_is_left_to_the_user(places: Places, platform: str, fails: str) -> None:
    steps = install(places, runner=System(fails), platform=platform)
    left = [step.text for step in steps if not step.done]
    assert len(left) == 1
    assert fails in left[0]
    assert "no such luck" in left[0]
    assert status(places, runner=System(), platform=platform).installed


@pytest.mark.parametrize("platform", PLATFORMS)
def test_without_the_systems_tool_nothing_is_written(places: Places, platform: str) -> None:
    def missing(command: Command) -> Answer:
        return run_tool((f"no-such-{command[0]}", *command[1:]))

    with pytest.raises(UsageError, match=r"no `no-such-.*by hand: `moodzone agent run`"):
        install(places, runner=missing, platform=platform)
    assert not status(places, runner=missing, platform=platform).file.exists()
    install(places, runner=System(), platform=platform)
    assert "by hand" in status(places, runner=missing, platform=platform).detail
    steps = uninstall(places, runner=missing, platform=platform)
    assert not status(places, runner=missing, platform=platform).file.exists()
    assert any(step.done for step in steps)


def test_without_a_session_of_systemd_nothing_is_written(places: Places) -> None:
    with pytest.raises(UsageError, match=r"no such luck.*by hand"):
        install(places, runner=System("show-environment"), platform="linux")
    assert not status(places, platform="linux").file.exists()


def test_a_folder_that_cannot_be_written_is_told(places: Places, home: Path) -> None:
    home.mkdir()
    (home / ".config").write_text("a file")
    with pytest.raises(UsageError, match="cannot be written"):
        install(places, runner=System(), platform="linux")


def test_tools_are_really_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_tool((sys.executable, "-c", "print('a\\n b')")) == Answer(0, "a b")
    code = "import sys; sys.stderr.write('bad'); sys.exit(3)"
    assert run_tool((sys.executable, "-c", code)) == Answer(3, "bad")
    monkeypatch.setattr(service_module, "_TIMEOUT_SECONDS", 0.01)
    with pytest.raises(UsageError, match="does not answer"):
        run_tool((sys.executable, "-c", "while True: pass"))
