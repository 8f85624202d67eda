"""What the contract's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.cases import CASES, Case, make_tones


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tones(tmp_path_factory.mktemp("tones"))


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest, tones: Path, tmp_path: Path) -> Case:
    folder = tmp_path / "machine"
    folder.mkdir()
    made: Case = request.param(tones, folder)
    return made
