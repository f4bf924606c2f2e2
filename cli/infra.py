"""Commands of `uniferum infra`: generate the files that start a grid on a cluster."""

from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.examples import examples

app = typer.Typer(no_args_is_help=True)


EXAMPLES = examples(
    "uniferum infra render configs/infra.yaml --set machine.nodes=4 --out infra",
    "uniferum infra render configs/infra.yaml --dry-run",
)


@app.callback(epilog=EXAMPLES)
def _infra() -> None:
    """Generate the files that start a grid on a cluster."""


@app.command(epilog=EXAMPLES)
def render(
    config: Annotated[Path, typer.Argument(help="The config file, e.g. configs/infra.yaml.")] = Path(
        "configs/infra.yaml"
    ),
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("infra"),
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="section.key=value: replaces a value of the config file.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the files instead of writing them.")] = False,
) -> None:
    """Generate the launcher file, KubeRay resources, SLURM and LSF scripts and the Dockerfile.

    Run it in the checkout.
    """
    from orchestration.grid.config import paths_from
    from orchestration.infra.paths import grid_overrides
    from orchestration.infra.render import render_files, write
    from orchestration.infra.settings import InfraSettings
    from uniferum.config import load

    loaded = load(InfraSettings, config, settings or ())
    overrides = grid_overrides(loaded, *paths_from(Path.cwd(), Path(loaded.grid)))
    if dry_run:
        for name, text in render_files(loaded, overrides).items():
            output.result(f"----- {name}\n{text}")
        return
    for path in write(loaded, overrides, out):
        output.result(str(path))
