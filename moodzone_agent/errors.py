"""Errors that MoodZone raises on purpose; each message says what happened and what cures it.

MoodZoneError
├── FileError              one file failed; a run notes it and goes on
│   ├── AudioError         cannot be read as music
│   ├── TagError           cannot be tagged without risk to what else it holds
│   └── FileChangedError   is no longer what was read
└── RunError               the run cannot go on
    ├── UsageError         asked for something that makes no sense
    ├── BundleError        the model bundle does not fit this program, or is damaged
    ├── LibraryError       the library cannot be opened
    │   └── DamagedLibraryError   its file is damaged
    ├── JournalError       the undo journal cannot be kept, so nothing may be written
    │   └── BusyError      another process of ours writes just now
    ├── CollectionError    a DJ program's collection, crates or playlists cannot be read or written safely
    └── DataSetError       training data is missing or malformed
"""

from __future__ import annotations


class MoodZoneError(Exception):
    """Root of all errors raised on purpose. ``str(error)`` is one or two sentences for the user."""


class FileError(MoodZoneError):
    """One file failed. ``str(error)`` is the reason, without the path."""


class AudioError(FileError):
    """The file cannot be read as music."""


class TagError(FileError):
    """The file cannot be tagged without risk to what else it holds; it was left as it was."""


class FileChangedError(FileError):
    """The file is no longer what was read; nothing was written to it."""


class RunError(MoodZoneError):
    """The run cannot go on."""


class UsageError(RunError):
    """What was asked for makes no sense (exit code 2)."""


class BundleError(RunError):
    """The model bundle does not fit this program, or is damaged."""


class LibraryError(RunError):
    """The library cannot be opened or used."""


class LibraryUnavailableError(LibraryError):
    """The library can't be used just now, since another program holds it or its disk is full; later it may be."""


class DamagedLibraryError(LibraryError):
    """The library's file is damaged; `library.backup.open_or_recover` makes a sound one."""


class JournalError(RunError):
    """The undo journal cannot be kept, so nothing may be written."""


class BusyError(JournalError):
    """Another process of ours writes just now; what is to be written can wait until it is done."""


class CollectionError(RunError):
    """A DJ program's collection, crates or playlists cannot be read or written safely; they were left as they were."""


class DataSetError(RunError):
    """Training data is missing or malformed."""
