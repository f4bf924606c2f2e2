"""Commands of `uniferum data`: cohorts, their cards, phantoms and prepared stores."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import check, fetch, flags, label_reports, output, phantom, prepare, segment

if TYPE_CHECKING:
    from uniferum.data.store_card import StoreCard

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


EXAMPLES = """
**Examples**

`uniferum data card configs/cohorts/ct_rate.yaml --root /data/CT-RATE` counts the dataset as it lies on disk.

`uniferum data card configs/cohorts/ct_rate.yaml --root /data/CT-RATE --store /stores/CTRATE` adds what preparation
noticed: quality flags by split, and the scans that could not be prepared.

`uniferum data card mine.yaml --store stores/mine --json > card.json` is for a program.
"""


@app.command(epilog=EXAMPLES)
def card(
    config: ConfigPath,
    root: Root = None,
    settings: Overrides = None,
    store: Annotated[
        str | None, typer.Option("--store", help="The cohort's prepared store: count its flags and failures too.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the card as JSON on standard output.")] = False,
) -> None:
    """Print what a cohort holds: found, expected by the paper, missing, dropped and why, labels and prevalence."""
    from uniferum.data.cohorts.base import open_cohort

    cohort = open_cohort(config, settings or (), root=root)
    stored = None if store is None else _read_store(store, cohort.name)
    with output.progress() as bar:
        task = bar.add_task(f"{cohort.name}: scans and rows looked at", total=None)
        found = cohort.card(lambda: bar.advance(task))
    if as_json:
        output.result(json.dumps(found.to_dict() | ({"store": stored.to_dict()} if stored else {}), indent=2))
        cohort.refuse(found.found, found.dropped)
        return
    columns = ("split", "found", "paper's Table 1", "missing", "patients", "the paper's split")
    output.table(f"{found.cohort}: scans", columns, found.split_rows())
    output.table("labels: positive / known (prevalence)", ("label", *found.splits()), found.label_rows())
    output.table("mask layers", ("layer", "scans"), sorted(found.masks.items()))
    output.table("left out", ("why", "count", "first ones"), found.dropped_rows())
    organs = found.organ_counts()
    if organs is not None:
        output.say(organs.sentence())
    for note in found.notes:
        output.say(f"note: {note}")
    if stored is not None:
        _show_store(stored, sum(found.found.values()))
    cohort.refuse(found.found, found.dropped)


def _read_store(store: str, cohort: str) -> "StoreCard":
    from uniferum.data.store_card import StoreCard

    return StoreCard.read(store, cohort)


def _show_store(stored: "StoreCard", kept: int) -> None:
    """What preparation noticed, and whether it has seen all of the cohort's scans."""
    flags.show_split_flags(f"{stored.url}: quality flags, scans (share of the split)", stored.flags)
    flags.show_notes(stored.whole, stored.notes)
    if stored.failed:
        output.table("not prepared", ("scan", "reason"), list(stored.failed.items())[: prepare.NAMED])
    if len(stored.failed) > prepare.NAMED:
        output.say(f"and {len(stored.failed) - prepare.NAMED} more: {stored.url}/failures.csv names all of them")
    if stored.scans + len(stored.failed) != kept:
        output.say(
            f"the cohort has {kept} scans, the store {stored.scans} and {len(stored.failed)} failures: "
            "uniferum data prepare brings it up to date"
        )
    flags.show_policy(stored.whole)


@app.callback()
def _noun() -> None:
    """Write phantoms, read cohorts, prepare and verify stores."""
