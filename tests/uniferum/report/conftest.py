"""A fixture that writes cells below a test's own folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.written_cells import write_cell


@pytest.fixture
def cells(tmp_path: Path) -> Callable[..., Path]:
    """Write a cell below ``tmp_path`` (see :func:`write_cell`)."""

    def write(mix: str = "CTRATE", **facts: object) -> Path:
        return write_cell(tmp_path, mix, **facts)

    return write
