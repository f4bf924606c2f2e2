"""Command `uniferum data check`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output

if TYPE_CHECKING:
    from uniferum.data.checks.check import CohortCheck

EPILOG = """
Examples:

    uniferum data check configs/cohorts/ct_rate.yaml --root /data/CT-RATE

    uniferum data check configs/cohorts/luna16.yaml --root /data/LUNA16 --store /fast/stores/luna16

Exit code: 0 fine, 1 problems that cost scans or give wrong splits, 2 nothing usable or bad input.
"""


def register(app: typer.Typer) -> None:
    """Add the command to `uniferum data`."""
    app.command("check", epilog=EPILOG)(check)


def check(
    config: Annotated[Path, typer.Argument(help="The cohort's YAML file, e.g. configs/cohorts/ct_rate.yaml.")],
    root: Annotated[Path | None, typer.Option("--root", help="The dataset's folder, if not the file's own.")] = None,
    store: Annotated[
        str | None, typer.Option("--store", help="Where it will be prepared into; default: stores/COHORT.")
    ] = None,
    preparation: Annotated[
        Path | None, typer.Option("--preparation", help="YAML of the preparation's settings; default: the paper's.")
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="key=value laid over the cohort's YAML.")] = None,
) -> None:
    """Look at a dataset's folder before it is prepared: what is missing, damaged or wrong, and what comes next."""
    from uniferum.config import load
    from uniferum.data.checks.check import check as looked_at
    from uniferum.data.checks.check import needed_store
    from uniferum.data.cohorts.base import open_cohort
    from uniferum.preprocessing.pipeline import PreparationConfig

    cohort = open_cohort(config, settings or (), root=root)
    geometry = load(PreparationConfig, preparation).geometry if preparation else None
    where = store or needed_store(cohort)
    with output.progress() as bar:
        task = bar.add_task(f"{cohort.name}: scans looked at", total=None)
        found = looked_at(cohort, config, where, geometry=geometry, heard=lambda count: bar.advance(task, count))
    _report(found, where)
    if found.exit_code:
        raise typer.Exit(found.exit_code)


def _report(found: "CohortCheck", store: str) -> None:
    from uniferum.data.fetch.plan import gb

    rows = [(s, found.looked.usable[s], len(found.looked.patients[s])) for s in sorted(found.looked.usable)]
    output.table(f"{found.cohort}: scans that look usable", ("split", "scans", "patients"), rows)
    shown = [(one.weight, one.what, one.count or "", ", ".join(one.examples), one.cure) for one in found.findings]
    output.table("found", ("", "what", "count", "e.g.", "what to do"), shown)
    disk, free = found.needs.level_bytes, "" if found.free is None else f" ({gb(found.free)} free at {store})"
    output.say(
        f"disk: about {gb(disk['train'])} for the training level, which is what prepare stores; "
        f"{gb(disk['full'])} more for the full level (--set levels=[train,full]){free}"
    )
    cores = sorted({2, 16, len(os.sched_getaffinity(0))})
    hours = ", ".join(f"{_spell(found.needs.hours(count))} on {count} cores" for count in cores)
    output.say(f"time: about {hours} (measured: 1.43 core seconds a scan of 512 x 512 x 300 voxels)")
    problems = [one for one in found.findings if one.weight == "problem"]
    output.say("nothing is wrong" if not problems else f"{len(problems)} kinds of problems")
    output.say(f"next: {found.next_command}")


def _spell(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{max(1, round(60 * hours))} min"
