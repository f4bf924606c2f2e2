"""Command `uniferum data check`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.examples import examples
from cli.tables import Format

if TYPE_CHECKING:
    from uniferum.data.checks.check import CohortCheck

EXAMPLES = examples(
    "uniferum data check configs/cohorts/ct_rate.yaml --root /data/CT-RATE",
    "uniferum data check configs/cohorts/luna16.yaml --root /data/LUNA16 --store /fast/stores/luna16",
    more="Exit code: 0 no problem, 1 problems that cost scans or give wrong splits, 2 no usable scan or bad input.",
)


def register(app: typer.Typer) -> None:
    """Add the command to `uniferum data`."""
    app.command("check", epilog=EXAMPLES)(check)


def check(
    config: Annotated[Path, typer.Argument(help="The cohort's YAML file, e.g. configs/cohorts/ct_rate.yaml.")],
    root: Annotated[
        Path | None, typer.Option("--root", help="The dataset's folder; default: the one in the YAML file.")
    ] = None,
    store: Annotated[
        str | None, typer.Option("--store", help="The store that it will be prepared into; default: stores/COHORT.")
    ] = None,
    preparation: Annotated[
        Path | None,
        typer.Option("--preparation", help="YAML file with the settings of the preparation; default: the paper's."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value: replaces a value of the cohort's YAML file.")
    ] = None,
    form: Format = None,
) -> None:
    """Check a dataset's folder before preparation: what is missing, damaged or wrong, and the next command."""
    from uniferum.config import load
    from uniferum.data.checks import check as checks
    from uniferum.data.cohorts.base import open_cohort
    from uniferum.preprocessing.pipeline import PreparationConfig

    cohort = open_cohort(config, settings or (), root=root)
    geometry = load(PreparationConfig, preparation).geometry if preparation else None
    target = store or checks.needed_store(cohort)
    with output.progress() as bar:
        task = bar.add_task(f"{cohort.name}: scans checked", total=None)
        result = checks.check(cohort, config, target, geometry=geometry, heard=lambda n: bar.advance(task, n))
    _show(result, target, form)
    if result.exit_code:
        raise typer.Exit(result.exit_code)


def _show(checked: "CohortCheck", store: str, form: str | None) -> None:
    usable, patients = checked.looked.usable, checked.looked.patients
    rows = [(split, usable[split], len(patients[split])) for split in sorted(usable)]
    findings = [(one.weight, one.what, one.count or "", ", ".join(one.examples), one.cure) for one in checked.findings]
    output.listings(
        (
            (f"{checked.cohort}: scans that look usable", ("split", "scans", "patients"), rows),
            ("findings", ("severity", "what", "count", "e.g.", "what to do"), findings),
        ),
        form,
    )
    _say_needs(checked, store)
    problems = sum(one.weight == "problem" for one in checked.findings)
    output.say(f"{problems} kinds of problems" if problems else "no problem was found")
    output.say(f"next: {checked.next_command}")


def _say_needs(checked: "CohortCheck", store: str) -> None:
    """Say how much disk and time the preparation needs."""
    from uniferum.data.fetch.plan import gb

    disk, free = checked.needs.level_bytes, "" if checked.free is None else f" ({gb(checked.free)} free at {store})"
    output.say(
        f"disk: about {gb(disk['train'])} for the training level, which `data prepare` writes by default; "
        f"{gb(disk['full'])} more for the full level (--set levels=[train,full]){free}"
    )
    cores = sorted({2, 16, len(os.sched_getaffinity(0))})
    hours = ", ".join(f"{_spell(checked.needs.hours(count))} on {count} cores" for count in cores)
    output.say(f"time: about {hours} (measured: 1.43 core seconds a scan of 512 x 512 x 300 voxels)")


def _spell(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{max(1, round(60 * hours))} min"
