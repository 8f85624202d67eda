"""Tables of features on the disk: Parquet or CSV, as the file's ending says. Never pickle.

A table appears whole or not at all: it is written beside its place, synced, and put there at the end.
"""

from __future__ import annotations

import csv
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from exporters.filesystem import sync_file, sync_folder
from moodzone_agent.console import printable
from moodzone_agent.errors import DataSetError, UsageError

TEXT_COLUMNS: Final = frozenset({"path", "audio_id", "source", "id", "artist", "zone", "origin"})
"""All others hold numbers."""

Table = Mapping[str, Sequence[str] | NDArray[Any]]
"""Columns by name, equally long: text, or numbers [N]."""

Write = Callable[[Table], None]


def check_writable(path: Path) -> None:
    """Raise `UsageError` if a table can't be written there: another ending, no folder, or pyarrow is missing."""
    if _is_parquet(path):
        _pyarrow()
    if not path.parent.is_dir():
        raise UsageError(f"{printable(path)} can't be written: there is no folder {printable(path.parent)}")
    if path.is_dir():
        raise UsageError(f"{printable(path)} is a folder: name a file in it")


@contextmanager
def new_table(path: Path, columns: Sequence[str]) -> Iterator[Write]:
    """Write a table of these columns in as many parts as wanted; a file at ``path`` is replaced at the end.

    Where the block fails, nothing at ``path`` changes. Numbers come as float32 or float64. Errors: `UsageError`.
    """
    check_writable(path)
    temp = path.with_name(f".mz-{secrets.token_hex(4)}.tmp")
    try:
        try:
            with (_parquet if _is_parquet(path) else _csv)(temp, columns) as write:
                yield write
            sync_file(temp)
            temp.replace(path)
        finally:
            temp.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise UsageError(
            f"{printable(path)} can't be written ({error.strerror or error}): see to its disk, or name another file"
        ) from error


def read_table(path: Path) -> dict[str, list[str] | NDArray[np.float64]]:
    """The columns of a table, in their order: text as a list, numbers as float64 [N].

    Errors: `UsageError` for another ending; `DataSetError` where it can't be read as such a table.
    """
    parquet = _is_parquet(path)
    try:
        columns = _read_parquet(path) if parquet else _read_csv(path)
        return {
            name: list(map(str, values)) if name in TEXT_COLUMNS else np.asarray(values, np.float64)
            for name, values in columns.items()
        }
    except OSError as error:
        raise DataSetError(f"{printable(path)} can't be read ({error.strerror or error})") from error
    except (ValueError, TypeError, csv.Error) as error:  # pyarrow's own are ValueErrors
        raise DataSetError(
            f"{printable(path)} is no table of features ({error}): extract it again"
        ) from error


def _is_parquet(path: Path) -> bool:
    ending = path.suffix.lower()
    if ending not in {".parquet", ".csv"}:
        raise UsageError(f"{printable(path)} ends in neither .parquet nor .csv, so its kind is not clear")
    return ending == ".parquet"


def _pyarrow() -> Any:
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            'Parquet needs pyarrow: pip install "moodzone[trainer]", or let the file end in .csv'
        ) from error
    return pa


@contextmanager
def _parquet(path: Path, columns: Sequence[str]) -> Iterator[Write]:
    pa = _pyarrow()
    writer: Any = None

    def write(table: Table) -> None:
        nonlocal writer
        arrays = [
            pa.array([_text(value) for value in table[name]], pa.string())
            if name in TEXT_COLUMNS
            else pa.array(np.asarray(table[name]))
            for name in columns
        ]
        part = pa.table(arrays, names=list(columns))
        if writer is None:
            writer = pa.parquet.ParquetWriter(path, part.schema)
        writer.write_table(part)

    try:
        yield write
        if writer is None:
            write({name: [] if name in TEXT_COLUMNS else np.empty(0) for name in columns})
    finally:
        if writer is not None:
            writer.close()


@contextmanager
def _csv(path: Path, columns: Sequence[str]) -> Iterator[Write]:
    with path.open("x", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(columns)

        def write(table: Table) -> None:
            # The shortest digits that give the same float32 again.
            texts = [
                [_text(value) for value in table[name]]
                if name in TEXT_COLUMNS
                else [str(value) for value in np.asarray(table[name])]
                for name in columns
            ]
            rows.writerows(zip(*texts, strict=True))

        yield write


def _read_parquet(path: Path) -> dict[str, Any]:
    table = _pyarrow().parquet.read_table(path)
    return {
        name: table[name].to_pylist() if name in TEXT_COLUMNS else table[name].to_numpy()
        for name in table.column_names
    }


def _read_csv(path: Path) -> dict[str, Any]:
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file, strict=True)
    if any(len(row) != len(header) for row in rows):
        raise ValueError("its rows are of unequal length")
    return dict(zip(header, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(header, ())


def _text(value: str) -> str:
    """What UTF-8 can hold: names that are not UTF-8 come as lone surrogates."""
    return str(value).encode("utf-8", "backslashreplace").decode()
