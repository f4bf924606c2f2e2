"""Commands of `uniferum data`: cohorts, their cards, phantoms and prepared stores."""

import json
from pathlib import Path
from typing import Annotated

import typer

from cli import check, fetch, label_reports, output, phantom, prepare, segment

app = typer.Typer(no_args_is_help=True)
fetch.register(app)
check.register(app)
phantom.register(app)
prepare.register(app)
label_reports.register(app)
segment.register(app)

ConfigPath = Annotated[Path, typer.Argument(help="The cohort's YAML file, e.g. configs/cohorts/ct_rate.yaml.")]
Root = Annotated[Path | None, typer.Option("--root", help="The dataset's folder, in place of the file's own root.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="key=value laid over the cohort's YAML.")]


@app.command()
def card(
    config: ConfigPath,
    root: Root = None,
    settings: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the card as JSON on standard output.")] = False,
) -> None:
    """Print what a cohort holds: found, expected by the paper, missing, dropped and why, labels and prevalence."""
    from uniferum.data.cohorts.base import open_cohort

    cohort = open_cohort(config, settings or (), root=root)
    with output.progress() as bar:
        task = bar.add_task(f"{cohort.name}: scans and rows looked at", total=None)
        found = cohort.card(lambda: bar.advance(task))
    if as_json:
        output.result(json.dumps(found.to_dict(), indent=2))
        return
    columns = ("split", "found", "paper's Table 1", "missing", "patients", "the paper's split")
    output.table(f"{found.cohort}: scans", columns, found.split_rows())
    output.table("labels: positive / known (prevalence)", ("label", *found.splits()), found.label_rows())
    output.table("mask layers", ("layer", "scans"), sorted(found.masks.items()))
    output.table("left out", ("why", "count", "first ones"), found.dropped_rows())
    for note in found.notes:
        output.say(f"note: {note}")


@app.callback()
def _noun() -> None:
    """Write phantoms, read cohorts, prepare and verify stores."""
