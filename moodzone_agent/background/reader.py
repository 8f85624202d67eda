"""Reads what the user corrects: in files that changed, and in the collections of DJ programs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from exporters.base import Collection
from moodzone_agent.background.context import Context, stamp_of_files
from moodzone_agent.corrections import find_corrections, settle_vanished
from moodzone_agent.errors import CollectionError, FileError
from moodzone_agent.inbox import Inbox
from moodzone_agent.machine import target_names

_TAGS_LOOKED_AT: Final = "tags looked at"


class CorrectionReader:
    """Looks for corrections, lets them rest, and hears of labels. Reading is always allowed."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._library = context.library
        self._inbox = Inbox(context.library)
        self.tags = set(self._tags_to_look_at())
        """Files whose tags may hold corrections."""
        self._next_poll = 0.0
        self._stamps: dict[str, tuple[object, ...]] = {}
        """Of the files of each collection when it was last looked at."""
        self._quiet_since = 0.0
        """Since when no new correction was found."""
        self._last_label = self._library.last_arrival()
        """Number of the newest label that was seen."""

    def look_at_all_collections(self) -> None:
        """In the next round, whether or not their files changed."""
        self._next_poll = 0.0
        self._stamps.clear()

    def look(self) -> set[Path]:
        """Look at files that changed, and at collections that did; returns files whose token is to be written again."""
        again: set[Path] = set()
        if self.tags:
            among, began = frozenset(self.tags), time.time_ns()
            self.tags.clear()
            for collection in self._collections():
                if collection.in_file:
                    again |= self._look_at(collection, among)
            self._library.set_meta(_TAGS_LOOKED_AT, str(began))
        now = self._context.clock()
        if now < self._next_poll:
            return again
        self._next_poll = now + self._context.settings.agent.poll_seconds
        for collection in self._collections():
            if collection.by_file:
                continue
            try:
                stamp = stamp_of_files(collection.watched_files())
            except CollectionError as error:
                self._context.note_error(f"{collection.name}: {error}")
                continue
            if self._stamps.get(collection.name) != stamp:
                self._stamps[collection.name] = stamp
                again |= self._look_at(collection, None)
        return again

    def take(self) -> None:
        """Make labels of what has rested."""
        quiet_seconds = self._context.settings.agent.quiet_minutes * 60
        if self._context.clock() - self._quiet_since >= quiet_seconds:
            self._inbox.settle()

    def hear_labels(self) -> set[Path]:
        """The files of tracks that were labelled since the last time; by commands, too."""
        files: set[Path] = set()
        for arrival, audio_id in self._library.labels_after(self._last_label):
            self._last_label = max(self._last_label, arrival)
            track = self._library.track(audio_id)
            files.update(track.paths if track else ())
        return files

    def _tags_to_look_at(self) -> Iterator[Path]:
        """Files with a mark that a scan read after we last looked for corrections; it may have been killed."""
        since = int(self._library.meta(_TAGS_LOOKED_AT) or 0)
        for record in self._library.files():
            if record.mark and record.tags_checked_ns > since:
                yield record.path

    def _look_at(self, collection: Collection, among: frozenset[Path] | None) -> set[Path]:
        try:
            found = list(find_corrections(collection, self._library, among))
            new = self._inbox.note(collection, found, among)
            again = settle_vanished(found, self._library)
        except (CollectionError, FileError, OSError) as error:
            self._context.note_error(f"{collection.name}: {error}")
            return set()
        if new:
            self._quiet_since = self._context.clock()
        return set(again)

    def _collections(self) -> Iterator[Collection]:
        """All collections on this machine that can hold corrections."""
        return self._context.collections(target_names(), named=True)
