"""Fixtures of the cohort tests."""

from pathlib import Path

import pytest

from tests.support.cohort_layouts import CtRateWriter


@pytest.fixture
def ct_rate_writer(tmp_path: Path) -> CtRateWriter:
    return CtRateWriter(tmp_path / "CT-RATE")
