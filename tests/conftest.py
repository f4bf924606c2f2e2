"""Settings of every test: shape checks at run time, no network, and no time limit on hypothesis' examples."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support import shapes

shapes.install()  # before any module of the packages that it checks is imported
settings.register_profile("any machine", deadline=None)  # no test fails for the time that it takes on a busy machine
settings.load_profile("any machine")

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

REALDATA = Path(__file__).resolve().parents[2] / "shared" / "realdata"


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real CT volumes, where a checkout has one beside it."""
    folder = Path(os.environ.get("UNIFERUM_REALDATA", REALDATA))
    if not (folder / "labels.csv").exists():
        pytest.skip(f"real volumes are not at {folder}; set UNIFERUM_REALDATA to their folder")
    return folder
