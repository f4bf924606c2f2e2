"""Fixtures of cells: below a test's own folder, and an ablation that no test changes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.ablation_cells import write_ablation
from tests.support.written_cells import write_cell


@pytest.fixture
def cells(tmp_path: Path) -> Callable[..., Path]:
    """Write a cell below ``tmp_path`` (see :func:`write_cell`)."""

    def write(mix: str = "CTRATE", **facts: object) -> Path:
        return write_cell(tmp_path, mix, **facts)

    return write


@pytest.fixture(scope="session")
def ablation_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished ablation: three learning rates, text frozen or not, three seeds."""
    root = tmp_path_factory.mktemp("ablation")
    write_ablation(root)
    return root
