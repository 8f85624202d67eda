"""The installed program as its users start it: a script of its own, which spawned workers import again."""

from __future__ import annotations

import json
import os
import sys
import tomllib
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]


class Scan:
    """A running `moodzone scan --json` of one file with an empty library, in a folder of its own."""

    def __init__(self, folder: Path, path: Path, *options: str) -> None:
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self.process = Popen(
                [*_command(folder), "scan", "--json", *options, str(path)],
                env=environment(folder / "home"),
                stdout=PIPE,
                stderr=log,
                text=True,
            )

    def first_line(self) -> dict[str, Any]:
        """Wait for it. Ends the benchmark with what the program said if the file was not rated."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"moodzone scan: {self._log.read_text(encoding='utf-8').strip()}")
        result: dict[str, Any] = json.loads(line)
        if result["status"] != "ok":
            sys.exit(f"moodzone scan: {result['path']} {result['reason']}")
        return result

    def end(self) -> None:
        """Wait for it."""
        self.process.communicate()


def _command(folder: Path) -> list[str]:
    """What starts `moodzone`: a script in the folder, as pip makes it of the entry point."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, function = project["scripts"]["moodzone"].split(":")
    script = folder / "moodzone"
    script.write_text(
        f"import sys\nfrom {module} import {function}\n"
        f"if __name__ == '__main__':\n    sys.exit({function}())\n",
        encoding="ascii",
    )
    return [sys.executable, str(script)]


def environment(home: Path) -> dict[str, str]:
    """For a run whose settings and library are in the folder; without the limits on threads set for others."""
    limits = {name for name in os.environ if name.endswith("_NUM_THREADS")}
    kept = {name: value for name, value in os.environ.items() if name not in limits}
    return kept | {"MOODZONE_HOME": str(home), "PYTHONPATH": str(_ROOT)}
