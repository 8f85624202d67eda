"""Writes the zones that wait, a batch at a time and within the day's number of rewrites."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from exporters.base import Collection, Want, WriteStatus
from exporters.tags.collection import TagCollection
from moodzone_agent.background.context import Context, stamp_of_files
from moodzone_agent.config import AgentSettings
from moodzone_agent.errors import BusyError, CollectionError, FileError, JournalError
from moodzone_agent.types import MarkState
from moodzone_agent.writing import STALE, WriteResult, settle_colours, wanted_of, write_zones

_AT_ONCE: Final = 100
"""Files between two looks at whether writing is still allowed."""
_REWRITTEN: Final = "files rewritten"


class ZoneWriter:
    """Files that wait to be written, into their tags and the collections that the settings name."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._library = context.library
        self.waiting: set[Path] = set()
        """Files whose zone may have to be written."""
        self.postponed: set[Path] = set()
        """Files that would be rewritten beyond the day's number, or failed; they are tried again with each sweep."""
        self._stale: set[Path] = set()
        """Files that are not any more what was scanned."""
        self._rewrites: set[Path] = set()
        """Files of the batch at hand that would be rewritten for a change of model."""
        self._refused: dict[Path, tuple[object, ...]] = {}
        """Files that would not be written, with what they and their mark were then; until the next sweep."""
        self.look_for_unwritten()

    def look_for_unwritten(self) -> None:
        """Add the files that don't carry their mark, and those of which a collection that is written knows nothing."""
        self.waiting.update(self._library.files_to_mark())
        collections = [collection for collection in self._targets() if not collection.by_file]
        if not collections:
            return
        marked = [path for track in self._library.tracks() if track.mark for path in track.paths]
        for collection in collections:
            events = self._library.place_events(collection.target, collection.path)
            known = {place.track for place in events}
            self.waiting.update(path for path in marked if path not in known)

    def try_all_again(self) -> None:
        """Also what was refused or postponed, as with each sweep."""
        self._refused.clear()
        self.waiting |= self.postponed
        self.postponed.clear()

    def expect(self, path: Path) -> None:
        """Have a file written that was scanned again: what stood against it before is forgotten."""
        self._refused.pop(path, None)
        self.waiting.add(path)

    def take_stale(self) -> set[Path]:
        """The files that were not written since they are not any more what was scanned; each is told once."""
        stale, self._stale = self._stale, set()
        return stale

    def write_some(self, *, consented: bool) -> bool:
        """Write a batch of what waits; False if that has to be done later. ``consented``: to any number of rewrites."""
        batch = sorted(self.waiting)[:_AT_ONCE]
        try:
            self._write(batch, consented=consented)
        except BusyError:  # a command writes: in a moment
            return False
        except JournalError as error:
            self._context.note_error(str(error))
            self.postponed |= self.waiting
            self.waiting.clear()
            return False
        self.waiting.difference_update(batch)
        return True

    def _write(self, batch: list[Path], *, consented: bool) -> None:
        wants = [want for want in wanted_of(self._library, batch) if not self._is_refused(want)]
        wants = self._without_too_many_rewrites(wants, consented=consented)
        if not wants:
            return
        with self._context.journal.start("agent") as run:
            for collection in self._targets():
                own = [want for want in wants if collection.holds(want.path)]
                try:
                    settle_colours(collection, self._library, keep=True)
                    for result in write_zones(
                        own, collection, self._library, run, self._context.places.backups, unasked=True
                    ):
                        self._take_result(result)
                except (CollectionError, FileError, OSError) as error:  # once more with the next sweep
                    self._context.note_error(f"{collection.name}: {error}")
                    self.postponed.update(want.path for want in own)

    def _targets(self) -> Iterator[Collection]:
        """The collections that the settings name; what a command wrote elsewhere is only read."""
        return self._context.collections(self._context.settings.agent.targets, named=False)

    def _without_too_many_rewrites(self, wants: list[Want], *, consented: bool) -> list[Want]:
        """Leave for tomorrow, or for ``flush``, what would rewrite too many files in a day for a change of model.

        A file that a label changes, or that has no mark yet, is none of these.
        """
        rewrites = [want for want in wants if self._is_rewrite(want)]
        self._rewrites = {want.path for want in rewrites}
        done, agent = self._rewritten_today(), self._context.settings.agent
        allowed = rewrites_allowed(len(rewrites), done, agent, consented=consented)
        postponed = {want.path for want in rewrites[allowed:]}
        self.postponed |= postponed
        return [want for want in wants if want.path not in postponed]

    def _rewritten_today(self) -> int:
        day, _, count = (self._library.meta(_REWRITTEN) or "").partition(" ")
        return int(count) if day == datetime.now(UTC).date().isoformat() else 0

    def _is_rewrite(self, want: Want) -> bool:
        record = self._library.file(want.path)
        return (
            bool(record and record.mark)
            and want.mark is not None
            and want.mark.state is not MarkState.LABELLED
        )

    def _take_result(self, result: WriteResult) -> None:
        if result.reason == STALE:  # a change of times alone tells no watcher anything
            self._stale.add(result.path)
            return
        if result.status is WriteStatus.WRITTEN and result.path in self._rewrites:
            self._rewrites.discard(result.path)
            today = datetime.now(UTC).date().isoformat()
            self._library.set_meta(_REWRITTEN, f"{today} {self._rewritten_today() + 1}")
        if result.status is WriteStatus.FAILED:
            self._context.note_error(f"{result.path}: {result.reason}")
        if result.status in {WriteStatus.FAILED, WriteStatus.KEPT} and result.target == TagCollection.target:
            track = self._library.track_of(result.path)
            self._refused[result.path] = (track and track.mark, *stamp_of_files([result.path]))

    def _is_refused(self, want: Want) -> bool:
        """Whether the file would not be written, and is what it was then."""
        return self._refused.get(want.path) == (want.mark, *stamp_of_files([want.path]))


def rewrites_allowed(planned: int, done_today: int, settings: AgentSettings, *, consented: bool) -> int:
    """How many of so many files that have a mark may get another one now; the rest waits for a yes, or for tomorrow."""
    return planned if consented else min(planned, max(0, settings.most_rewrites_a_day - done_today))
