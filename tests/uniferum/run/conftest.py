"""Prepared stores for small runs, and one thread for all of them."""

from pathlib import Path

import pytest
import torch

from tests.support.small_runs import make_stores


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three prepared cohorts."""
    return make_stores(tmp_path_factory.mktemp("stores"))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    """One thread, also for runs that a module's tests share: two would change the last digits of a loss."""
    torch.set_num_threads(1)
