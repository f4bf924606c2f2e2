"""Generate the files of a cluster from a grid file of a checkout, as `uniferum infra render` does."""

from pathlib import Path

from orchestration.grid.config import paths_from
from orchestration.infra import paths, render
from orchestration.infra.settings import InfraSettings


def grid_overrides(settings: InfraSettings, checkout: Path) -> list[str]:
    """Overrides of the grid file that the settings name."""
    return paths.grid_overrides(settings, *paths_from(checkout, checkout / settings.grid))


def rendered(settings: InfraSettings, checkout: Path) -> dict[str, str]:
    """Text of every file by name."""
    return render.render_files(settings, grid_overrides(settings, checkout))


def write(settings: InfraSettings, checkout: Path, folder: Path) -> list[Path]:
    """Write every file."""
    return render.write(settings, grid_overrides(settings, checkout), folder)
