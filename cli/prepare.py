"""Commands `uniferum data prepare` and `uniferum data verify`."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import flags, output
from cli.examples import examples

if TYPE_CHECKING:
    from rich.progress import Progress

    from orchestration.prepare import PreparationSummary
    from uniferum.data.prepare_cohort import PreparationOutcome
    from uniferum.preprocessing.pipeline import PreparationConfig
    from uniferum.preprocessing.store.store import Store


NAMED = 50
"""Number of failed scans that are listed at the end; failures.csv holds all of them."""

PREPARE = examples(
    "uniferum data prepare configs/cohorts/ct_rate.yaml --root /data/CT-RATE --out /stores/CTRATE  # with Ray",
    "uniferum data prepare mine.yaml --out stores/mine --local --workers 2 --montage  # processes, and images",
    "uniferum data prepare mine.yaml --out stores/mine --dry-run",
    "uniferum data prepare mine.yaml --out stores/mine --json > summary.json",
    more="Exit code: 0 every scan was prepared, flagged or not; 1 some failed (failures.csv); 2 bad input, or no scan "
    "was found. What to do about each flag: docs/how-to/flags.md.",
)
VERIFY = examples(
    "uniferum data verify stores/mine",
    "uniferum data verify stores/mine --remove  # delete damaged scans; `data prepare` then makes them again",
    more="Exit code: 0 every scan is complete; 1 some are damaged; 2 bad input.",
)


def register(app: typer.Typer) -> None:
    """Add the commands to `uniferum data`."""
    app.command("prepare", epilog=PREPARE)(prepare)
    app.command("verify", epilog=VERIFY)(verify)


def prepare(
    config: Annotated[Path, typer.Argument(help="The cohort's YAML file.")],
    out: Annotated[str, typer.Option("--out", help="The store: a folder or an fsspec URL.")],
    root: Annotated[
        Path | None, typer.Option("--root", help="The dataset's folder; default: the one in the YAML file.")
    ] = None,
    preparation: Annotated[
        Path | None,
        typer.Option("--preparation", help="YAML file with the settings of the preparation; default: the paper's."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value: replaces a setting, e.g. preset=released.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Processes at once; default: all cores.")] = None,
    local: Annotated[bool, typer.Option("--local", help="Use local processes instead of Ray.")] = False,
    address: Annotated[str | None, typer.Option(help="A Ray cluster to run on; default: one on this machine.")] = None,
    montage: Annotated[
        bool, typer.Option("--montage", help="Write a PNG image of each volume into STORE/montages.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the scans; prepare nothing.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON; its tables go to standard error.")
    ] = False,
) -> None:
    """Prepare the scans of a cohort into a store. The same command continues after an interruption.

    At the end it lists the scans that were left out or failed, with the reason, and the quality flags of all scans.
    """
    from orchestration.prepare import connect_ray, plan_preparation, prepare_cohort
    from uniferum.data.cohorts.base import open_cohort

    cohort, how = open_cohort(config, root=root), _preparation(preparation, settings or ())
    planned = plan_preparation(cohort, out, how)
    output.Summary(is_result=dry_run and not as_json).line(planned.sentence())
    if dry_run:
        return
    use_ray = not local and connect_ray(address, workers)
    with output.progress() as bar:
        heard = heard_by(bar, cohort.name, planned.total)
        summary = prepare_cohort(
            cohort, out, how, workers=workers, use_ray=use_ray, with_montage=montage, on_scan=heard
        )
    _end(summary, out, as_json=as_json)


def _preparation(file: Path | None, settings: Iterable[str]) -> "PreparationConfig":
    from uniferum.config import load_yaml, override, parse
    from uniferum.preprocessing.pipeline import PreparationConfig

    keys = override(load_yaml(file) if file else {}, settings)
    return parse(PreparationConfig, keys, source=str(file or "--set"))


def _end(summary: "PreparationSummary", out: str, *, as_json: bool) -> None:
    report(summary, out, output.Summary(is_result=not as_json))
    if as_json:
        output.result(json.dumps(summary.to_dict(), indent=2))
    if summary.failed:
        raise typer.Exit(1)


def verify(
    store: Annotated[str, typer.Argument(help="A prepared store: a folder or an fsspec URL.")],
    remove: Annotated[
        bool, typer.Option("--remove", help="Delete damaged scans, so that prepare makes them again.")
    ] = False,
) -> None:
    """Check the checksum of every file of a store, and list the damaged scans."""
    from uniferum.preprocessing.store.store import Store

    faults = _faults(Store.open(store), remove=remove)
    if not faults:
        output.result(f"{store}: every scan is complete")
        return
    output.Summary().table("damaged", ("scan", "fault"), faults)
    cure = "deleted" if remove else "uniferum data verify --remove deletes them"
    output.say(f"{len(faults)} scans are damaged ({cure}); then uniferum data prepare makes them again")
    raise typer.Exit(1)


def _faults(store: "Store", *, remove: bool) -> list[tuple[str, str]]:
    """Damaged scans, each with what is wrong."""
    faults: list[tuple[str, str]] = []
    with output.progress() as bar:
        shown = bar.add_task(f"{store.name}", total=len(store.manifest()))
        for scan_id, fault in store.verify():
            bar.advance(shown)
            if fault:
                faults.append((scan_id, fault))
                if remove:
                    store.remove(scan_id)
    return faults


def report(summary: "PreparationSummary", out: str, printed: output.Summary) -> None:
    """Print what a preparation did; notes and advice go to standard error in any case."""
    if summary.left_out:
        printed.table(
            "left out by the cohort itself", ("reason", "scans", "first ones"), left_out_rows(summary.left_out)
        )
    if summary.failed:
        rows = [(outcome.scan_id, outcome.file, outcome.reason) for outcome in summary.failed]
        printed.table("not prepared", ("scan", "file", "reason"), rows[:NAMED])
        if len(rows) > NAMED:
            output.say(f"and {len(rows) - NAMED} more: {out}/failures.csv names all of them")
    flags.show_flags(f"flags of {summary.scans} scans", summary.flags, printed)
    flags.show_notes(summary.flags, summary.notes, printed)
    for note in summary.cohort_notes:
        output.say(f"note: {note}")
    rate = 3600 * summary.prepared / summary.seconds if summary.seconds else 0
    printed.line(
        f"{out}: {summary.scans} scans ({summary.prepared} prepared now, {summary.kept} kept, "
        f"{len(summary.failed)} failed) in {summary.seconds:.0f} s, {rate:.0f} an hour"
    )
    if summary.left_out:
        count = sum(map(len, summary.left_out.values()))
        printed.line(f"{count} more are left out by the cohort itself: {out}/failures.csv says why")
    flags.show_policy(summary.flags)


def left_out_rows(left_out: Mapping[str, Sequence[str]]) -> list[tuple[str, int, str]]:
    """Rows of reason, number of scans and first scans; the most frequent reason first."""
    ordered = sorted(left_out.items(), key=lambda one: (-len(one[1]), one[0]))
    return [(why, len(ids), ", ".join(ids[:3]) + (", ..." if len(ids) > 3 else "")) for why, ids in ordered]


def heard_by(bar: "Progress", name: str, total: int | None) -> Callable[["PreparationOutcome"], None]:
    """Make a callback that moves a progress bar and prints each failure."""
    shown = bar.add_task(name, total=total)

    def one(outcome: "PreparationOutcome") -> None:
        bar.advance(shown)
        if outcome.state == "failed":
            bar.console.print(f"{outcome.scan_id}: {outcome.reason}", markup=False, soft_wrap=True)

    return one
