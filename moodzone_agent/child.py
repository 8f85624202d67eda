"""``python -m moodzone_agent.child MODULE ARGUMENT...``: runs a module quietly, and no longer than its parent.

Its standard input is a pipe that the parent holds open: the end of that is the end of the parent, however it ended.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from typing import Final

from moodzone_agent.priority import lower_priority

_FAILED: Final = 1
_ORPHANED: Final = 1


def main() -> None:
    """Run the module that the first argument names; an error of disk or memory becomes one line and an exit code."""
    lower_priority()
    threading.Thread(target=_end_with_parent, args=(sys.stdin.fileno(),), daemon=True).start()
    del sys.argv[0]
    module = importlib.import_module(sys.argv[0])
    try:
        module.main()
    except OSError as error:
        sys.stderr.write(
            f"{sys.argv[0]}: {error.strerror or error}; see to its disk, and free some space there\n"
        )
        sys.exit(_FAILED)
    except MemoryError:
        sys.stderr.write(f"{sys.argv[0]}: there is too little memory; close some programs\n")
        sys.exit(_FAILED)


def _end_with_parent(pipe: int) -> None:
    while os.read(pipe, 1):
        pass
    os._exit(_ORPHANED)


if __name__ == "__main__":
    main()
