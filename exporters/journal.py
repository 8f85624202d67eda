"""The undo journal: what each run replaced in the user's files, and how to get it back.

A folder of its own, independent of the library::

    lock                  locked by the one process that writes; holds its number and what it does
    000012/run.jsonl      what the run did, a JSON object a line
    000012/patches        the reverse patches, one behind the other (see ``exporters.patch``)

Runs are numbered one by one, so their order does not hang on the clock. Each line ends in a ``check``, the
CRC-32 of the line without it: a line that a crash cut short is recognised. Lines, by their ``record``:

==========  ===============================================================================================
run         format, kind, process and time; always the first
begin       entry, path and name of the temporary file; synced before that file is made
in place    a database, and the places in it that change; synced before the transaction is committed
changes     the places in that file that change, each with its value before and after; synced with ``ready``
ready       SHA-256 before and after, old modification time, place of the patch; synced before the replacement
replaced    the entry's file was replaced
dropped     the entry's file was left as it was, and the temporary file is gone
undone      the entry was undone, and how
redone      the undo of the entry was itself undone
end         nothing is left open: number of files replaced and of those undone
==========  ===============================================================================================

A file that is made has ``absent`` for its SHA-256 before, and no patch; one that is deleted has it for that after,
and its patch leads back from an empty file. A database that is changed ``in place`` has neither temporary file nor
patch: it is undone by value, and counts as replaced where it isn't known whether it was. An entry without
``replaced`` or ``dropped`` was interrupted. The next start removes its temporary file and settles by the file's hash
whether it was replaced. Paths are kept as Python's own strings, where bytes that are not UTF-8 are lone surrogates,
escaped in JSON: nothing is lost.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Literal, NamedTuple, Self

from exporters.filesystem import ABSENT, IN_PLACE, hash_file, sync, sync_folder, try_lock
from exporters.patch import PatchError, Sink, apply_patch, reverse_patch
from moodzone_agent.errors import BusyError, FileChangedError, JournalError, UsageError

FORMAT: Final = 1
TEMP_NAME: Final = re.compile(r"\.mz-[0-9a-f]{8}\.tmp")
"""What our temporary files are called, hidden and without an ending that DJ software would import."""

_LOOK_SECONDS = 0.2
_RECORDS = "run.jsonl"
_IN_PLACE = "in place"
_PATCHES = "patches"
_LOCK = "lock"
_RUN_NAME = re.compile(r"\d{6,}")
_TAIL = 4096
_LONGEST_PAUSE = timedelta(days=365)
"""What two runs may lie apart; clocks that jump, jump further."""

Record = dict[str, Any]


class Changed(NamedTuple):
    """A place in a written file, so that its value can be put back though the file was edited since."""

    track: str
    """The track's path."""
    field: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One file in one run."""

    number: int
    path: Path
    """Absolute, symbolic links resolved."""
    temp: Path
    note: Mapping[str, str]
    """What the caller wants to find the file by, should it have moved."""
    old_sha256: str = ""
    new_sha256: str = ""
    """Both empty until the patch is proven."""
    old_mtime_ns: int = 0
    patch_at: int = 0
    replaced: bool | None = None
    """None where the run was interrupted and the file could not be looked at since."""
    undone: bool = False

    @property
    def undoable(self) -> bool:
        """Whether the file was, or may have been, replaced and not undone."""
        if self.replaced is None:
            return bool(self.new_sha256) and not self.undone
        return self.replaced and not self.undone


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run in a list of runs."""

    id: int
    kind: str
    when: datetime
    """In UTC, by the machine's clock at that time."""
    files: int
    """Files that were replaced, or may have been."""
    undone: int
    size: int
    """Bytes on disk."""
    interrupted: bool = False
    """Whether some file of it could not be looked at since the run was cut off (its drive is away)."""
    damaged: int = 0
    """Lines that are unreadable; what they tell of is lost."""


class Journal:
    """All runs of one machine. Listing needs no lock; writing takes the lock for as long as a run lasts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: BinaryIO | None = None

    @contextlib.contextmanager
    def hold(self, kind: str) -> Iterator[None]:
        """Keep other processes from writing for the whole block, whatever runs are made in it.

        Raises JournalError where another process writes.
        """
        with self._open_lock(kind) as lock:
            self._held = lock
            try:
                yield
            finally:
                self._held = None

    def start(self, kind: str, *, patience: float = 0.0) -> Run:
        """Begin a run, having cleared what killed runs left.

        ``kind`` is one word for the user, such as ``write``; ``patience``: how many seconds to wait for another
        process that writes. Raises BusyError where it writes still, JournalError where the journal cannot be kept.
        """
        end = time.monotonic() + patience
        while True:
            try:
                lock = self._lock(kind)
                break
            except BusyError:
                if time.monotonic() >= end:
                    raise
                time.sleep(_LOOK_SECONDS)
        try:
            self._recover()
            number = max(self._numbers(), default=0) + 1
            return Run(self, number, kind, lock)
        except BaseException:
            lock.close()
            raise

    def runs(self) -> list[RunInfo]:
        """All runs, newest first."""
        return [
            self._info(number)
            for number in sorted(self._numbers(), reverse=True)
            if (_run_folder(self.folder, number) / _RECORDS).exists()  # a user may name his folders like that
        ]

    def entries(self, run: int) -> list[Entry]:
        """The files of a run in the order they were written. Raises UsageError where there is no such run."""
        if run not in self._numbers():
            known = ", ".join(map(str, sorted(self._numbers()))) or "none"
            raise UsageError(f"The journal holds no run {run}. Runs it holds: {known}.")
        return list(_Story(_run_folder(self.folder, run)).entries.values())

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(_folder_size(_run_folder(self.folder, number)) for number in self._numbers())

    def erase(self) -> None:
        """Delete all runs and the lock; what else somebody keeps in the folder stays.

        Raises JournalError where another process writes, and OSError.
        """
        with self._lock("erase"):
            for number in self._numbers():
                _delete(_run_folder(self.folder, number))
        if self._held:
            self._held.close()  # Windows deletes no open file
        (self.folder / _LOCK).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def changes(self, run: int, entries: Iterable[Entry]) -> list[Changed]:
        """The places that were changed in the files of these entries."""
        wanted = {entry.number for entry in entries}
        return [
            Changed(*change)
            for line in _lines(_run_folder(self.folder, run))
            if b'"changes"' in line
            and (record := _parse(line)) is not None
            and record["record"] in {"changes", _IN_PLACE}
            and record["entry"] in wanted
            for change in record["changes"]
        ]

    def rebuild(self, run: int, entry: Entry, new: Path, out: Sink) -> None:
        """Write to ``out`` what ``entry`` replaced, from ``new``, a file that still holds what it wrote.

        Raises PatchError where the patch is damaged; ``out`` then holds rubbish.
        """
        try:
            patches = (_run_folder(self.folder, run) / _PATCHES).open("rb")
        except OSError as error:
            raise PatchError(f"The undo patches of run {run} cannot be read: {error.strerror}.") from error
        with patches:
            patches.seek(entry.patch_at)
            new = Path(os.devnull) if entry.new_sha256 == ABSENT else new
            if apply_patch(new, patches, out) != entry.old_sha256:
                raise PatchError("The undo patch belongs to another file.")

    def recover(self) -> list[Path]:
        """Remove the temporary files that killed runs left, and settle what those runs did.

        ``start`` does it too. Returns the files it removed.
        """
        with self._lock("recover"):
            return self._recover()

    def prune(self, *, keep_days: float | None = None, max_bytes: int | None = None) -> list[RunInfo]:
        """Forget the oldest runs: those older than ``keep_days``, and more while the journal is too large.

        A run's age is the sum of the steps from run to run that a sound clock may take, so that one that
        jumped makes nothing old. The newest run is always kept, and interrupted ones are, as their temporary
        files are still to be cleared. Returns what was forgotten.
        """
        with self._lock("prune"):
            self._recover()
            runs = self.runs()
            size = sum(run.size for run in runs)
            ages = _ages(runs, longest=max(_LONGEST_PAUSE, timedelta(days=keep_days or 0)))
            forgotten = []
            for run in reversed(runs[1:]):
                old = keep_days is not None and ages[run.id] > timedelta(days=keep_days)
                large = max_bytes is not None and size > max_bytes
                if (old or large) and not run.interrupted:
                    _forget(_run_folder(self.folder, run.id))
                    size -= run.size
                    forgotten.append(run)
            return forgotten

    def _numbers(self) -> list[int]:
        try:
            with os.scandir(self.folder) as found:
                return [
                    int(entry.name) for entry in found if _RUN_NAME.fullmatch(entry.name) and entry.is_dir()
                ]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unusable(self.folder, error) from error

    def _lock(self, kind: str) -> contextlib.ExitStack:
        """The lock, until the stack is closed; an empty stack where `hold` has it already."""
        stack = contextlib.ExitStack()
        if self._held is None:
            stack.enter_context(self._open_lock(kind))
        return stack

    def _open_lock(self, kind: str) -> BinaryIO:
        """The open lock file. Its holder's process number stays in it, for the message to the next one."""
        path = self.folder / _LOCK
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.ExitStack() as stack:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
                file = stack.enter_context(os.fdopen(descriptor, "r+b", buffering=0))
                if not try_lock(descriptor):
                    raise _held_by(file.read(200).decode(errors="replace").strip())
                file.seek(0)
                file.truncate()
                file.write(f"{os.getpid()}, {kind}\n".encode())
                stack.pop_all()
                return file
        except OSError as error:
            raise _unusable(self.folder, error) from error

    def _info(self, number: int) -> RunInfo:
        folder = _run_folder(self.folder, number)
        header, end = _ends(folder)
        info = RunInfo(
            id=number,
            kind=header.get("kind", "unknown"),
            when=datetime.fromtimestamp(header.get("time_ns", 0) / 1e9, UTC),
            files=end.get("files", 0),
            undone=end.get("undone", 0),
            size=_folder_size(folder),
        )
        if end:
            return info
        story = _Story(folder)
        return replace(
            info, files=story.files, undone=story.undone, damaged=story.damaged, interrupted=bool(story.open)
        )

    def _recover(self) -> list[Path]:
        cleared: list[Path] = []
        for number in self._numbers():
            folder = _run_folder(self.folder, number)
            if not (folder / _RECORDS).exists():
                _forget(folder)  # killed before its first record, or not ours and not empty
                continue
            if _ends(folder)[1]:
                continue
            story = _Story(folder)
            with _Appender(folder / _RECORDS, story.length) as records:
                for entry in story.open:
                    cleared += _settle(entry, records)
                _end(folder, records)
            _forget_empty(folder)
        return cleared


class Run:
    """One run that replaces files; a context manager. Made by ``Journal.start``; belongs to one thread.

    ``edit_file`` calls ``begin``, ``prepare``, ``replaced`` and ``settle``.
    """

    def __init__(self, journal: Journal, number: int, kind: str, lock: contextlib.ExitStack) -> None:
        self.journal = journal
        self.id = number
        self._lock = lock
        self._count = 0
        self._folder = _run_folder(journal.folder, number)
        self._reopened: dict[int, _Appender] = {}
        self._note: Mapping[str, str] = {}
        try:
            self._folder.mkdir(mode=0o700)
        except OSError as error:
            raise _unusable(self._folder, error) from error
        with contextlib.ExitStack() as files:
            self._records = files.enter_context(_Appender(self._folder / _RECORDS))
            self._patches = files.enter_context(_Appender(self._folder / _PATCHES))
            header = {"format": FORMAT, "kind": kind, "process": os.getpid(), "time_ns": time.time_ns()}
            self._records.append(_line("run", **header), durable=True)
            sync_folder(self._folder)
            sync_folder(journal.folder)
            self._files = files.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the run and let others write. A run that replaced nothing leaves no trace."""
        with self._lock, contextlib.suppress(JournalError):  # what is not noted now, the next start notes
            with self._files:
                for run, records in self._reopened.items():
                    _end(_run_folder(self.journal.folder, run), records)
                _end(self._folder, self._records)
            _forget_empty(self._folder)

    def begin(self, path: Path, note: Mapping[str, str]) -> Entry:
        """Promise to touch ``path``; the entry names the temporary file, which the caller makes now."""
        self._count += 1
        temp = path.with_name(f".mz-{secrets.token_hex(4)}.tmp")
        entry = Entry(self._count, path, temp, dict(note))
        record = _line("begin", entry=entry.number, path=str(path), temp=temp.name, note=entry.note)
        self._records.append(record, durable=True)
        return entry

    def change_in_place(self, path: Path, note: Mapping[str, str], changes: Sequence[Changed]) -> Entry:
        """Promise to change a database in place; the caller commits now, and calls `replaced` or `drop`."""
        self._count += 1
        number, note = self._count, {**note, **self._note}
        record = _line(_IN_PLACE, entry=number, path=str(path), note=note, changes=changes)
        self._records.append(record, durable=True)
        return Entry(number, path, path, note, IN_PLACE, IN_PLACE)

    @contextlib.contextmanager
    def noting(self, note: Mapping[str, str]) -> Iterator[None]:
        """Add this to the notes of databases that are changed in the block."""
        self._note = note
        try:
            yield
        finally:
            self._note = {}

    def drop(self, entry: Entry) -> None:
        """Note that a database was not changed after all."""
        with contextlib.suppress(JournalError):  # then undo finds nothing of ours in it
            self._records.append(_line("dropped", entry=entry.number))

    def prepare(
        self,
        entry: Entry,
        *,
        old_sha256: str,
        new_sha256: str,
        old_mtime_ns: int,
        changes: Sequence[Changed] = (),
    ) -> Entry:
        """Keep the way back from ``entry.temp`` to ``entry.path``, and prove it, before the replacement.

        Either SHA-256 may be `ABSENT`; a file that is made needs no way back. Raises FileChangedError where
        ``entry.path`` no longer holds what ``old_sha256`` was taken of, JournalError and OSError.
        """
        entry = replace(entry, old_sha256=old_sha256, new_sha256=new_sha256, old_mtime_ns=old_mtime_ns)
        if old_sha256 != ABSENT:
            entry = self._keep_way_back(entry)
        if changes:
            self._records.append(_line("changes", entry=entry.number, changes=changes))
        record = _line(
            "ready",
            entry=entry.number,
            old_sha256=old_sha256,
            new_sha256=new_sha256,
            old_mtime_ns=old_mtime_ns,
            patch_at=entry.patch_at,
        )
        self._records.append(record, durable=True)
        return entry

    def _keep_way_back(self, entry: Entry) -> Entry:
        """Append the patch, and prove that it rebuilds the file as it is."""
        patch = reverse_patch(entry.path, entry.temp, old_sha256=entry.old_sha256)
        entry = replace(entry, patch_at=self._patches.append(patch, durable=True))
        try:
            self.journal.rebuild(self.id, entry, entry.temp, _Nowhere())
        except PatchError:
            if hash_file(entry.path) == entry.old_sha256:
                raise
            raise FileChangedError(
                "another program changed it meanwhile; run again when that is done"
            ) from None
        return entry

    def replaced(self, entry: Entry) -> Entry:
        """Note that ``entry.temp`` took the place of ``entry.path``."""
        with contextlib.suppress(JournalError):  # the next start finds out by the file's hash
            self._records.append(_line("replaced", entry=entry.number))
        return replace(entry, replaced=True)

    def settle(self, entry: Entry) -> None:
        """Remove the temporary file of an entry, unless it was replaced."""
        if entry.replaced is None:
            with contextlib.suppress(JournalError):
                _settle(entry, self._records)

    def mark(self, run: int, entry: int, what: Literal["undone", "redone"], how: str) -> None:
        """Note in the run that an entry belongs to that it was undone, or is to be undone again."""
        if run not in self._reopened:
            records = _Appender(_run_folder(self.journal.folder, run) / _RECORDS)
            self._reopened[run] = self._files.enter_context(records)
        self._reopened[run].append(_line(what, entry=entry, how=how), durable=True)


class _Nowhere:
    """Takes bytes and forgets them."""

    def write(self, data: bytes, /) -> None:
        pass


class _Appender:
    """A file of the journal that only grows. A write that failed half-way is cut off before the next one."""

    def __init__(self, path: Path, length: int | None = None) -> None:
        """``length``: where a torn end begins, if there is one."""
        self._path = path
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
            self._file = os.fdopen(descriptor, "r+b", buffering=0)
            self._end = self._file.seek(0, os.SEEK_END) if length is None else length
        except OSError as error:
            raise _unusable(path.parent, error) from error

    def append(self, pieces: Iterable[bytes], *, durable: bool = False) -> int:
        """Add the pieces together and return where they begin. Errors of ``pieces`` itself pass through."""
        end = self._end
        self._write(b"", end)
        for piece in pieces:
            end = self._write(piece, end)
        if durable:
            try:
                sync(self._file.fileno())
            except OSError as error:
                raise _unusable(self._path.parent, error) from error
        start, self._end = self._end, end
        return start

    def _write(self, piece: bytes, at: int) -> int:
        """Write at a position, cutting off what stands behind it; returns the position behind the piece."""
        try:
            self._file.seek(at)
            self._file.truncate()
            while piece:
                count = self._file.write(piece)
                piece, at = piece[count:], at + count
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(self._end)
            raise _unusable(self._path.parent, error) from error
        return at

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(slots=True)
class _Story:
    """All that the records of one run tell."""

    folder: Path
    entries: dict[int, Entry] = field(default_factory=dict)
    length: int = 0
    """Bytes up to the end of the last whole line."""
    damaged: int = 0

    def __post_init__(self) -> None:
        for line in _lines(self.folder):
            if not line.endswith(b"\n"):
                break
            record = _parse(line)
            if record is None:
                self.damaged += 1
            else:
                self._tell(record)
            self.length += len(line)

    @property
    def open(self) -> list[Entry]:
        """Entries of which it is not known whether the file was replaced."""
        return [entry for entry in self.entries.values() if entry.replaced is None]

    @property
    def files(self) -> int:
        return sum(entry.undone or entry.undoable for entry in self.entries.values())

    @property
    def undone(self) -> int:
        return sum(entry.undone for entry in self.entries.values())

    def _tell(self, record: Record) -> None:
        number = record.get("entry", 0)
        entry = self.entries.get(number)
        match record["record"]:
            case "begin":
                path = Path(record["path"])
                self.entries[number] = Entry(number, path, path.with_name(record["temp"]), record["note"])
            case "in place":
                path = Path(record["path"])
                self.entries[number] = Entry(number, path, path, record["note"], IN_PLACE, IN_PLACE)
            case "ready" if entry:
                self.entries[number] = replace(
                    entry,
                    old_sha256=record["old_sha256"],
                    new_sha256=record["new_sha256"],
                    old_mtime_ns=record["old_mtime_ns"],
                    patch_at=record["patch_at"],
                )
            case "replaced" | "dropped" as what if entry:
                self.entries[number] = replace(entry, replaced=what == "replaced")
            case "undone" | "redone" as what if entry:
                self.entries[number] = replace(entry, undone=what == "undone")


def _settle(entry: Entry, records: _Appender) -> list[Path]:
    """Clear the temporary file of an interrupted entry and note what became of its file.

    Nothing is noted while neither of the two can be reached. Returns the temporary file if it was cleared.
    """
    cleared = []
    try:
        replaced = bool(entry.new_sha256)
        if entry.new_sha256 == IN_PLACE:
            pass  # whether it was committed, undo finds out value by value
        elif ABSENT in {entry.old_sha256, entry.new_sha256}:
            entry.path.parent.stat()  # its drive may be away
            is_there, is_pending = os.path.lexists(entry.path), os.path.lexists(entry.temp)
            replaced = not is_there if entry.new_sha256 == ABSENT else is_there and not is_pending
            if is_pending:
                entry.temp.unlink()
                cleared.append(entry.temp)
        elif not os.path.lexists(entry.temp):
            entry.path.stat()
            # A file that is neither old nor new was replaced, and edited since.
            replaced = replaced and hash_file(entry.path) != entry.old_sha256
        elif replaced and not entry.path.exists() and hash_file(entry.temp) == entry.new_sha256:
            # FAT and some network drives lose the old name first: this is the only copy.
            entry.temp.replace(entry.path)
        else:
            entry.temp.unlink()
            cleared.append(entry.temp)
            replaced = False
    except OSError:
        return []
    records.append(_line("replaced" if replaced else "dropped", entry=entry.number), durable=True)
    return cleared


def _end(folder: Path, records: _Appender) -> None:
    """Close the records of a run, if nothing in it is left open."""
    story = _Story(folder)
    if story.entries and not story.open and not story.damaged:
        records.append(_line("end", files=story.files, undone=story.undone), durable=True)


def _line(kind: str, /, **fields: object) -> list[bytes]:
    record = {"record": kind, **fields}
    return [_dump({**record, "check": zlib.crc32(_dump(record))}) + b"\n"]


def _dump(record: Mapping[str, object]) -> bytes:
    return json.dumps(record, separators=(", ", ": ")).encode("ascii")


def _parse(line: bytes) -> Record | None:
    """The record in a line, or None where the line is torn or damaged."""
    try:
        record = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    if not isinstance(record, dict) or record.pop("check", None) != zlib.crc32(_dump(record)):
        return None
    return record


def _lines(folder: Path) -> Iterator[bytes]:
    try:
        with (folder / _RECORDS).open("rb") as file:
            yield from file
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unusable(folder, error) from error


def _ends(folder: Path) -> tuple[Record, Record]:
    """The first record and, if the run was closed, its ``end``: enough for a list of long runs."""
    try:
        with (folder / _RECORDS).open("rb") as file:
            header = _parse(file.readline()) or {}
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            last = _parse(file.read().splitlines(keepends=True)[-1]) or {}
    except (FileNotFoundError, IndexError):
        return {}, {}
    except OSError as error:
        raise _unusable(folder, error) from error
    if header.get("format", FORMAT) != FORMAT:
        raise JournalError(f"The undo journal in {folder} was written by a newer MoodZone: update it.")
    return header, last if last.get("record") == "end" else {}


def _run_folder(journal: Path, run: int) -> Path:
    return journal / f"{run:06}"


def _ages(runs: list[RunInfo], longest: timedelta) -> dict[int, timedelta]:
    """How old runs, given newest first, are for sure; steps back or beyond ``longest`` count as none."""
    age, ages, later = timedelta(), {}, datetime.now(UTC)
    for run in runs:
        if timedelta() <= later - run.when <= longest:
            age += later - run.when
        ages[run.id], later = age, run.when
    return ages


def _delete(folder: Path) -> None:
    """Delete a run, its records first: entries without their patches would mislead."""
    (folder / _RECORDS).unlink(missing_ok=True)
    (folder / _PATCHES).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it holds something else
        folder.rmdir()


def _forget(folder: Path) -> None:
    with contextlib.suppress(OSError):
        _delete(folder)


def _forget_empty(folder: Path) -> None:
    """Delete a run that replaced nothing."""
    story = _Story(folder)
    if not story.files and not story.open and not story.damaged:
        _forget(folder)


def _folder_size(folder: Path) -> int:
    """Bytes of the files in a folder."""
    try:
        return sum(entry.stat().st_size for entry in os.scandir(folder))
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise _unusable(folder, error) from error


def _held_by(holder: str) -> BusyError:
    return BusyError(
        f"Another MoodZone writes files (process {holder or 'unknown'}). Wait until it is done, or stop it."
    )


def _unusable(folder: Path, error: OSError) -> JournalError:
    return JournalError(
        f"The undo journal in {folder} cannot be kept ({error.strerror}), and without it no file is touched. "
        "Make the folder writable, or free some space there."
    )
