"""Commands `uniferum data prepare` and `uniferum data verify`."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import flags, output

if TYPE_CHECKING:
    from rich.progress import Progress

    from orchestration.prepare import PreparationSummary
    from uniferum.data.preparation import PreparationOutcome


NAMED = 50
"""Failed scans that are named at the end; failures.csv holds all of them."""

EXAMPLES = """
**Examples**

`uniferum data prepare configs/cohorts/ct_rate.yaml --root /data/CT-RATE --out /stores/CTRATE` prepares over Ray.

`uniferum data prepare mine.yaml --out stores/mine --local --workers 2 --montage` uses processes, and draws pictures.

`uniferum data prepare mine.yaml --out stores/mine --dry-run` counts only.

`uniferum data prepare mine.yaml --out stores/mine --json > summary.json` writes what the end says for a program.

Exit code: 0 every scan was prepared, flagged or not; 1 some failed (failures.csv); 2 bad input, or no scan was found.
What to do about each flag: docs/how-to/flags.md.
"""
VERIFY_EXAMPLES = """
**Examples**

`uniferum data verify stores/mine` reads every file of the store and compares its checksums.

`uniferum data verify stores/mine --remove` deletes damaged scans; the same `data prepare` then makes them again.

Exit code: 0 every scan is whole; 1 some are damaged; 2 bad input.
"""


def register(app: typer.Typer) -> None:
    """Add the commands to `uniferum data`."""
    app.command("prepare", epilog=EXAMPLES)(prepare)
    app.command("verify", epilog=VERIFY_EXAMPLES)(verify)


def prepare(
    config: Annotated[Path, typer.Argument(help="The cohort's YAML file.")],
    out: Annotated[str, typer.Option("--out", help="The store: a folder or an fsspec URL.")],
    root: Annotated[Path | None, typer.Option("--root", help="The dataset's folder, if not the file's own.")] = None,
    preparation: Annotated[
        Path | None, typer.Option("--preparation", help="YAML of the preparation's settings; default: the paper's.")
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="A setting, e.g. preset=released.")] = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Processes at once; default: all cores.")] = None,
    local: Annotated[bool, typer.Option("--local", help="A pool of processes, without Ray.")] = False,
    address: Annotated[str | None, typer.Option(help="A Ray cluster to run on; default: one on this machine.")] = None,
    montage: Annotated[bool, typer.Option("--montage", help="A PNG of each volume in STORE/montages.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would be prepared, and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON on standard output.")] = False,
) -> None:
    """Prepare a cohort's scans into a store; run again, it goes on from where it stopped.

    It ends with what was left out and failed and why, and with a table of the quality flags of all scans.
    """
    from orchestration.prepare import connect_ray, plan_preparation, prepare_cohort
    from uniferum.config import load_yaml as read
    from uniferum.config import override, parse
    from uniferum.data.cohorts.base import open_cohort
    from uniferum.preprocessing.pipeline import PreparationConfig

    cohort = open_cohort(config, root=root)
    keys = override(read(preparation) if preparation else {}, settings or ())
    how = parse(PreparationConfig, keys, source=str(preparation or "--set"))
    planned = plan_preparation(cohort, out, how)
    output.say(planned.sentence())
    if dry_run:
        return
    use_ray = not local and connect_ray(address, workers)
    with output.progress() as bar:
        heard = heard_by(bar, cohort.name, planned.total)
        summary = prepare_cohort(
            cohort, out, how, workers=workers, use_ray=use_ray, with_montage=montage, on_scan=heard
        )
    report(summary, out)
    if as_json:
        output.result(json.dumps(summary.to_dict(), indent=2))
    if summary.failed:
        raise typer.Exit(1)


def verify(
    store: Annotated[str, typer.Argument(help="A prepared store: a folder or an fsspec URL.")],
    remove: Annotated[bool, typer.Option("--remove", help="Delete damaged scans: prepare redoes them.")] = False,
) -> None:
    """Check every checksum of a store, and say what to prepare again."""
    from uniferum.preprocessing.store.store import Store

    opened = Store.open(store)
    faults: list[tuple[str, str]] = []
    with output.progress() as bar:
        shown = bar.add_task(f"{opened.name}", total=len(opened.manifest()))
        for scan_id, fault in opened.verify():
            bar.advance(shown)
            if fault:
                faults.append((scan_id, fault))
                if remove:
                    opened.remove(scan_id)
    if not faults:
        output.say(f"{store}: every scan is whole")
        return
    output.table("damaged", ("scan", "fault"), faults)
    cure = "deleted" if remove else "uniferum data verify --remove deletes them"
    output.say(f"{len(faults)} scans are damaged ({cure}); then uniferum data prepare makes them again")
    raise typer.Exit(1)


def report(summary: "PreparationSummary", out: str) -> None:
    """What a preparation did, for the person at the terminal."""
    if summary.left_out:
        output.table("left out by the cohort itself", ("why", "scans", "first ones"), left_out_rows(summary.left_out))
    if summary.failed:
        rows = [(outcome.scan_id, outcome.file, outcome.reason) for outcome in summary.failed]
        output.table("not prepared", ("scan", "file", "reason"), rows[:NAMED])
        if len(rows) > NAMED:
            output.say(f"and {len(rows) - NAMED} more: {out}/failures.csv names all of them")
    flags.show_flags(f"flags of {summary.scans} scans", summary.flags)
    flags.show_notes(summary.flags, summary.notes)
    for note in summary.cohort_notes:
        output.say(f"note: {note}")
    rate = 3600 * summary.prepared / summary.seconds if summary.seconds else 0
    output.say(
        f"{out}: {summary.scans} scans ({summary.prepared} prepared now, {summary.kept} kept, "
        f"{len(summary.failed)} failed) in {summary.seconds:.0f} s, {rate:.0f} an hour"
    )
    if summary.left_out:
        count = sum(map(len, summary.left_out.values()))
        output.say(f"{count} more are left out by the cohort itself: {out}/failures.csv says why")
    flags.show_policy(summary.flags)


def left_out_rows(left_out: Mapping[str, Sequence[str]]) -> list[tuple[str, int, str]]:
    """Rows of reason, count and first scans; the most frequent reason first."""
    ordered = sorted(left_out.items(), key=lambda one: (-len(one[1]), one[0]))
    return [(why, len(ids), ", ".join(ids[:3]) + (", ..." if len(ids) > 3 else "")) for why, ids in ordered]


def heard_by(bar: "Progress", name: str, total: int | None) -> Callable[["PreparationOutcome"], None]:
    """A listener that moves a progress bar, and names what failed as it fails."""
    shown = bar.add_task(name, total=total)

    def one(outcome: "PreparationOutcome") -> None:
        bar.advance(shown)
        if outcome.state == "failed":
            bar.console.print(f"{outcome.scan_id}: {outcome.reason}", markup=False, soft_wrap=True)

    return one
