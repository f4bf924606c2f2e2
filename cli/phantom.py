"""Commands `uniferum data phantom` and `uniferum data demo`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.examples import examples
from cli.prepare import heard_by, report


def register(app: typer.Typer) -> None:
    """Add the commands to `uniferum data`."""
    app.command("phantom", epilog=examples("uniferum data phantom demo/phantoms --workers 2"))(phantom)
    app.command("demo", epilog=examples("uniferum data demo configs/demo_data.yaml"))(demo)


def phantom(
    out: Annotated[Path, typer.Argument(help="A new folder, or one that this command wrote before.")],
    config: Annotated[Path, typer.Option(help="YAML file: number of phantoms of each cohort, and the seed.")] = Path(
        "configs/demo_phantoms.yaml"
    ),
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value: replaces a value of the YAML file.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes at once; default: all cores.")] = None,
) -> None:
    """Write phantom cohorts in the layouts and formats of CT-RATE, INSPECT, RAD-ChestCT and LUNA16."""
    write(out, config, settings or [], workers)


def demo(
    config: Annotated[Path, typer.Argument(help="YAML file: what is made, and where.")] = Path(
        "configs/demo_data.yaml"
    ),
    workers: Annotated[int | None, typer.Option(min=1, help="Processes at once; default: all cores.")] = None,
) -> None:
    """Write the phantoms of the demo and prepare their stores; existing files are kept."""
    from orchestration.prepare import prepare_cohort
    from uniferum.config import load
    from uniferum.data.cohorts.base import open_cohort
    from uniferum.data.phantom.config import DemoData

    wanted = load(DemoData, config)
    write(Path(wanted.phantoms), Path(wanted.phantom_config), [], workers)
    for cohort_file, store in wanted.stores.items():
        cohort = open_cohort(Path(cohort_file))
        with output.progress() as bar:
            heard = heard_by(bar, cohort.name, None)
            summary = prepare_cohort(cohort, store, wanted.preparation, workers=workers, use_ray=False, on_scan=heard)
        report(summary, store, output.Summary())
        if summary.failed:
            raise typer.Exit(1)


def write(out: Path, config: Path, settings: list[str], workers: int | None) -> None:
    """Write the phantoms with a progress bar."""
    from uniferum.config import load
    from uniferum.data.phantom.config import PhantomConfig
    from uniferum.data.phantom.writing import write_phantoms

    wanted = load(PhantomConfig, config, settings)
    with output.progress() as bar:
        shown = bar.add_task("phantoms", total=None)
        new = write_phantoms(
            out,
            wanted,
            workers or os.cpu_count() or 1,
            progress=lambda done, total: bar.update(shown, completed=done, total=total),
        )
    output.result(f"{out}: {'written' if new else 'unchanged, it exists already'}")
