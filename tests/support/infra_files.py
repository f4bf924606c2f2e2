"""The files of a cluster, made from a grid file in a checkout, as `uniferum infra render` makes them there."""

from pathlib import Path

from orchestration.grid.config import load_grid
from orchestration.infra import paths, render
from orchestration.infra.settings import InfraSettings


def grid_overrides(settings: InfraSettings, checkout: Path) -> list[str]:
    """The overrides of the grid file that the settings name."""
    grid = load_grid(checkout / settings.grid)
    return paths.grid_overrides(settings, grid.root, grid.stores)


def rendered(settings: InfraSettings, checkout: Path) -> dict[str, str]:
    """Every file's text."""
    return render.rendered(settings, grid_overrides(settings, checkout))


def write(settings: InfraSettings, checkout: Path, folder: Path) -> list[Path]:
    """Every file, written."""
    return render.write(settings, grid_overrides(settings, checkout), folder)
