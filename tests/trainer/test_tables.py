"""Tables come back as they were written, and a failure leaves the old one."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from moodzone_agent.errors import DataSetError, UsageError
from trainer.datasets.tables import check_writable, new_table, read_table

COLUMNS = ("path", "id", "tempo", "level")


def part(first: int, count: int) -> dict[str, object]:
    rng = np.random.default_rng(first)
    return {
        "level": rng.normal(size=count).astype(np.float32),
        "path": [f"/music/ä, {first + place}\n.mp3" for place in range(count)],
        "id": [f"1e{first + place}" for place in range(count)],
        "tempo": rng.normal(120, 9, count),
    }


def write(path: Path, *parts: dict[str, object]) -> None:
    with new_table(path, COLUMNS) as add:
        for some in parts:
            add(some)  # type: ignore[arg-type]


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".CSV"])
def test_there_and_back(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"table{ending}"
    first, second = part(0, 3), part(3, 2)
    write(path, first, second)
    table = read_table(path)
    assert tuple(table) == COLUMNS
    for name in COLUMNS:
        expected = [*first[name], *second[name]]  # type: ignore[misc]
        values = np.asarray(table[name], np.float32) if name == "level" else table[name]  # as it was written
        assert list(values) == expected
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_an_empty_table_has_its_columns(tmp_path: Path, ending: str) -> None:
    write(tmp_path / f"table{ending}")
    table = read_table(tmp_path / f"table{ending}")
    assert {name: len(values) for name, values in table.items()} == dict.fromkeys(COLUMNS, 0)


@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_a_name_that_is_not_unicode_can_be_written(tmp_path: Path, ending: str) -> None:
    write(tmp_path / f"table{ending}", part(0, 1) | {"path": ["a\udcff.mp3"]})
    assert list(read_table(tmp_path / f"table{ending}")["path"]) == ["a\\udcff.mp3"]


@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_a_failure_leaves_the_old_table(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"table{ending}"
    write(path, part(0, 3))
    before = path.read_bytes()
    with pytest.raises(KeyError):
        write(path, part(0, 5), {})
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_other_endings_and_places_are_refused(tmp_path: Path) -> None:
    for name, complaint in (
        ("table.pkl", "neither .parquet nor .csv"),
        ("table", "neither"),
        ("nowhere/table.csv", "no folder"),
    ):
        with pytest.raises(UsageError, match=complaint):
            check_writable(tmp_path / name)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        check_writable(tmp_path / "folder.csv")


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r'pip install "moodzone\[trainer\]"'):
        check_writable(tmp_path / "table.parquet")
    check_writable(tmp_path / "table.csv")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.parquet", b"PAR1 and no more"),
        ("a.csv", b"path,tempo\na.mp3,fast\n"),
        ("a.csv", b"path,tempo\na.mp3\n"),
        ("a.csv", b""),
        ("a.csv", b"path,tempo\n\xff,1\n"),
    ],
)
def test_damaged_tables_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataSetError, match="extract it again"):
        read_table(tmp_path / name)
    with pytest.raises(DataSetError, match="can't be read"):
        read_table(tmp_path / f"no {name}")
