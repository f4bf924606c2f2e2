"""Commands of `uniferum infra`: files that start the same grid on a cluster."""

from pathlib import Path
from typing import Annotated

import typer

from cli import output

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Files that start the same grid on a cluster."""


@app.command(epilog="Example: uniferum infra render configs/infra.yaml --set machine.nodes=4 --out infra")
def render(
    config: Annotated[Path, typer.Argument(help="One small config, e.g. configs/infra.yaml.")] = Path(
        "configs/infra.yaml"
    ),
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("infra"),
    settings: Annotated[list[str] | None, typer.Option("--set", help="Override: section.key=value.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the files instead of writing them.")] = False,
) -> None:
    """Generate the launcher file, KubeRay resources, SLURM and LSF scripts and the Dockerfile; in the checkout."""
    from orchestration.grid.config import load_grid
    from orchestration.infra.paths import grid_overrides
    from orchestration.infra.render import render_files, write
    from orchestration.infra.settings import InfraSettings
    from uniferum.config import load

    loaded = load(InfraSettings, config, settings or ())
    grid = load_grid(loaded.grid)
    overrides = grid_overrides(loaded, grid.root, grid.stores)
    if dry_run:
        for name, text in render_files(loaded, overrides).items():
            output.result(f"----- {name}\n{text}")
        return
    for path in write(loaded, overrides, out):
        output.say(f"wrote {path}")
