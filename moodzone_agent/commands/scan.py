"""What the commands that scan share: how long it will take, the progress, and the run in the library's history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from moodzone_agent.commands.shared import console

if TYPE_CHECKING:
    from moodzone_agent.classify.session import ZoneModel
    from moodzone_agent.config import Settings
    from moodzone_agent.library.store import Library
    from moodzone_agent.pipeline import Plan, ScanResult

_MANY: Final = 50
"""Files to read from which on a scan says beforehand how long it will take."""


def scan_folders(
    library: Library,
    model: ZoneModel,
    settings: Settings,
    paths: list[Path],
    *,
    jobs: int,
    keep_zones: bool = False,
    tell: Callable[[ScanResult], None] = lambda _: None,
) -> list[ScanResult]:
    """Scan with a progress bar; a run that was stopped stays unfinished in the library's history.

    Before many files are read, stderr tells how many, how large, and about how long it will take.
    """
    from moodzone_agent.console import ScanProgress
    from moodzone_agent.pipeline import scan
    from moodzone_agent.setup.sizing import extent, stored_rate
    from moodzone_agent.workers import default_jobs

    jobs = jobs or default_jobs()
    results: list[ScanResult] = []
    run = library.start_run("scan")
    terminal = console(stderr=True)
    with ScanProgress(terminal) as progress:

        def follow(plan: Plan) -> None:
            if plan.to_read >= _MANY:
                seconds = plan.bytes_to_read / (stored_rate(library) * min(jobs, plan.to_read))
                terminal.print(
                    f"To read: {extent(plan.to_read, plan.bytes_to_read, seconds)}",
                    highlight=False,
                    soft_wrap=True,
                )
            progress.follow(plan)

        scanning = scan(
            paths,
            library,
            model,
            jobs=jobs,
            field=settings.tags.field,
            keep_zones=keep_zones,
            on_plan=follow,
        )
        with closing(scanning):
            for result in scanning:
                results.append(result)
                if result.changed:
                    progress.name(result.path)
                tell(result)
    library.finish_run(run, Counter(str(result.status) for result in results))
    return results
