"""Working where nobody notices: the lowest priority for processor and disk."""

from __future__ import annotations

import logging
import os
import sys

_log = logging.getLogger(__name__)


def lower_priority() -> None:
    """Give this process the lowest priority there is; what it starts from now on has it, too.

    To be called before there are other threads: Linux lowers the calling one, and what that starts. Where the system
    refuses, all goes on as before.
    """
    import psutil

    try:
        if sys.platform == "win32":
            process = psutil.Process()
            process.nice(psutil.IDLE_PRIORITY_CLASS)
            process.ionice(psutil.IOPRIO_VERYLOW)
        else:
            os.setpriority(os.PRIO_PROCESS, 0, 19)
            if sys.platform == "linux":
                psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE)
            elif sys.platform == "darwin":
                _throttle_disk()
    except (OSError, psutil.Error) as error:
        _log.debug("the priority cannot be lowered: %s", error)


if sys.platform == "win32":

    def lower_as_parent() -> None:
        """Lower the priority if the parent did so: Windows passes on that for the processor only."""
        import psutil

        try:
            is_lowered = psutil.Process().nice() == psutil.IDLE_PRIORITY_CLASS
        except (OSError, psutil.Error):
            return
        if is_lowered:
            lower_priority()


if sys.platform == "darwin":

    def _throttle_disk() -> None:
        """As setiopolicy_np(3) has it. Errors: `OSError`."""
        import ctypes

        disk, process, throttle = 0, 0, 3
        library = ctypes.CDLL(None, use_errno=True)
        if library.setiopolicy_np(disk, process, throttle) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
