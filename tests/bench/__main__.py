"""``python -m tests.bench COMMAND``: what the extractor costs, and how right it is. Nothing here is a test of time.

Each command is a module of this folder with a function ``main(arguments: list[str]) -> None``, imported only when
it is asked for; ``python -m tests.bench COMMAND --help`` tells its options.
"""

from __future__ import annotations

import importlib
import sys
from typing import Final

from tests.bench.machine import one_thread

COMMANDS: Final = {
    "extract": "CPU time of one pass over a 5-minute file, beside decoding alone and other programs",
    "workers": "tracks per second with one and with two workers",
    "memory": "peak memory of a worker, for a 5-minute track and a 2-hour mix",
    "scan": "the whole `moodzone scan` of one track, from start to its first line",
    "families": "what each part of the features costs",
    "model": "what rating costs, by row, and the size of the bundle",
    "rhythm": "how often tempo and drops are right, on synthesised tracks",
    "ribbon": "how well the ribbon tells breaks and drops, on synthesised tracks",
    "rerate": "re-rating a library from its stored features, when the model has changed",
    "agent": "what the agent takes when idle, and how soon a new track has its zone in its tag",
    "merge": "time and memory of writing zones into a large rekordbox XML and a large collection of Traktor",
}


def main(arguments: list[str]) -> None:
    """Run the command that is named first."""
    if not arguments or arguments[0] not in COMMANDS:
        wanted = sys.stdout if arguments[:1] in (["-h"], ["--help"]) else sys.stderr
        wanted.write("usage: python -m tests.bench COMMAND [OPTIONS]\n\n")
        wanted.writelines(f"  {name:<9} {what}\n" for name, what in COMMANDS.items())
        sys.exit(0 if wanted is sys.stdout else 2)
    command, *options = arguments
    one_thread()  # before anything imports NumPy
    importlib.import_module(f"tests.bench.{command}").main(options)


if __name__ == "__main__":
    main(sys.argv[1:])
