"""The prepared stores that a grid file names: whether they are on disk, and the command that makes one."""

import json
from collections.abc import Iterable
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from orchestration.grid.config import GridConfig
from uniferum.data.reports import FILE as REPORTS

if TYPE_CHECKING:
    from uniferum.run import RunConfig


def on_disk(store: Path | str) -> bool:
    """Whether a store is on disk; a store at a URL is not checked here, reading it raises if it does not exist."""
    return "://" in str(store) or (Path(store) / "store.json").exists()


def has_reports(store: Path | str) -> bool:
    """Whether a store on disk has the reports of its scans; of a store at a URL, reading them tells."""
    return "://" in str(store) or (Path(store) / REPORTS).exists()


def absent_stores(grid: GridConfig) -> list[str]:
    """Stores of the grid file that are not on disk, each as ``NAME (path)``."""
    return [f"{name} ({path})" for name, path in grid.stores.items() if not on_disk(path)]


def reports_command(cohort: str, store: Path | str) -> str:
    """The command that adds a cohort's reports to its store."""
    from uniferum.data.commands import cohort_args
    from uniferum.data.organ_rows import config_of

    return f"uniferum data reports {cohort_args(_card(store), config_of(cohort))} --store {quote(str(store))}"


def _card(store: Path | str) -> dict[str, Any]:
    """The store's description of its cohort, with the file and the folder that it was prepared from."""
    try:
        return dict(json.loads((Path(store) / "store.json").read_bytes())["cohort"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def store_command(cohort: str, grid: GridConfig, cells: "Iterable[RunConfig]") -> str:
    """The command that prepares a cohort into its store of a grid file.

    Args:
        cohort: name of the cohort.
        grid: the grid file.
        cells: the runs that read the store; if one of them reads the full level, the store must hold it.
    """
    from uniferum.data.commands import cohort_args, prepare_command
    from uniferum.data.organ_rows import config_of

    given = cohort_args({}, config_of(cohort))
    full = any(config.data.level == "full" for config in cells)
    return prepare_command(f"{given} --set levels=[train,full]" if full else given, grid.stores[cohort])
