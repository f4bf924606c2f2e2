"""Commands of `uniferum data`: cohorts, their cards, phantoms and prepared stores."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import check, fetch, flags, label_reports, output, phantom, prepare, reports, segment
from cli.examples import examples
from cli.tables import Format

if TYPE_CHECKING:
    from uniferum.data.card import DataCard
    from uniferum.data.store_card import StoreCard

app = typer.Typer(no_args_is_help=True)
fetch.register(app)
check.register(app)
phantom.register(app)
prepare.register(app)
label_reports.register(app)
reports.register(app)
segment.register(app)

ConfigPath = Annotated[Path, typer.Argument(help="The cohort's YAML file, e.g. configs/cohorts/ct_rate.yaml.")]
Root = Annotated[Path | None, typer.Option("--root", help="The dataset's folder, in place of the file's own root.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="key=value laid over the cohort's YAML.")]


CARD = examples(
    "uniferum data card configs/cohorts/ct_rate.yaml --root /data/CT-RATE",
    "uniferum data card configs/cohorts/ct_rate.yaml --root /data/CT-RATE --store /stores/CTRATE",
    "uniferum data card configs/cohorts/ct_rate.yaml > card.tsv",
    "uniferum data card configs/cohorts/ct_rate.yaml --format json > card.json",
)


@app.command(epilog=CARD)
def card(
    config: ConfigPath,
    root: Root = None,
    settings: Overrides = None,
    store: Annotated[
        str | None, typer.Option("--store", help="The cohort's prepared store: count its flags and failures too.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    form: Format = None,
) -> None:
    """Print what a cohort holds: scans found, expected by the paper, missing and left out; labels and prevalence."""
    from uniferum.data.cohorts.base import open_cohort

    cohort = open_cohort(config, settings or (), root=root)
    stored = None if store is None else _read_store(store, cohort.name)
    with output.progress() as bar:
        task = bar.add_task(f"{cohort.name}: reading scans and rows", total=None)
        counted = cohort.card(lambda: bar.advance(task))
    if as_json or form == "json":
        output.result(json.dumps(counted.to_dict() | ({"store": stored.to_dict()} if stored else {}), indent=2))
    else:
        _show_card(counted, stored, form)
    cohort.refuse(counted.scans, counted.dropped)


def _show_card(counted: "DataCard", stored: "StoreCard | None", form: str | None) -> None:
    columns = ("split", "found", "paper's Table 1", "missing", "patients", "the paper's split")
    output.listings(
        (
            (f"{counted.cohort}: scans", columns, counted.split_rows()),
            ("labels: positive / known (prevalence)", ("label", *counted.splits()), counted.label_rows()),
            ("mask layers", ("layer", "scans"), sorted(counted.masks.items())),
            ("left out", ("reason", "count", "first ones"), counted.dropped_rows()),
        ),
        form,
    )
    organs = counted.organ_counts()
    if organs is not None:
        output.say(organs.sentence())
    output.say_all(f"note: {note}" for note in counted.notes)
    if stored is not None:
        _show_store(stored, sum(counted.scans.values()), output.Summary(form=form))


def _read_store(store: str, cohort: str) -> "StoreCard":
    from uniferum.data.store_card import StoreCard

    return StoreCard.read(store, cohort)


def _show_store(stored: "StoreCard", kept: int, printed: output.Summary) -> None:
    """Print what preparation noticed, and whether it has seen all of the cohort's scans."""
    flags.show_split_flags(f"{stored.url}: quality flags, scans (share of the split)", stored.flags, printed)
    flags.show_notes(stored.whole, stored.notes, printed)
    if stored.failed:
        printed.table("not prepared", ("scan", "reason"), list(stored.failed.items())[: prepare.NAMED])
    if len(stored.failed) > prepare.NAMED:
        output.say(f"and {len(stored.failed) - prepare.NAMED} more: {stored.url}/failures.csv names all of them")
    if stored.scans + len(stored.failed) != kept:
        output.say(
            f"the cohort has {kept} scans, the store {stored.scans} and {len(stored.failed)} failures: "
            "uniferum data prepare brings it up to date"
        )
    flags.show_policy(stored.whole)


@app.callback(
    epilog=examples(
        "uniferum data demo",
        "uniferum data fetch CTRATE --out /data/CT-RATE --dry-run",
        "uniferum data check configs/cohorts/ct_rate.yaml --root /data/CT-RATE",
        "uniferum data prepare configs/cohorts/ct_rate.yaml --root /data/CT-RATE --out /stores/CTRATE",
    )
)
def _data() -> None:
    """Write phantoms, read cohorts, prepare and verify stores."""
