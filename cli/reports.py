"""Command `uniferum data reports`."""

from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.examples import examples
from uniferum.errors import UniferumError

EXAMPLES = examples(
    "uniferum data reports configs/cohorts/ct_rate.yaml --root /data/CT-RATE --store /stores/CTRATE",
    "uniferum data reports configs/cohorts/ct_rate.yaml --store /stores/CTRATE --dry-run",
    more="Only a training on reports reads them (model.ct_clip.way: contrastive). Reports are free text about "
    "patients: without this command a store holds none.",
)


def register(app: typer.Typer) -> None:
    """Add the command to `uniferum data`."""
    app.command("reports", epilog=EXAMPLES)(reports)


def reports(
    config: Annotated[Path, typer.Argument(help="The cohort's YAML file (CT-RATE).")],
    store: Annotated[str, typer.Option("--store", help="The cohort's prepared store: a folder or an fsspec URL.")],
    root: Annotated[Path | None, typer.Option("--root", help="The dataset's folder.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value: replaces a value of the cohort's YAML file.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the reports; write nothing.")] = False,
) -> None:
    """Add the radiology reports of the training and validation scans to a prepared store."""
    from uniferum.data.cohorts.base import open_cohort
    from uniferum.data.prepared_cohort import PreparedCohort
    from uniferum.data.reports import HasTrainingReports, matched_reports, write_reports

    cohort, prepared = open_cohort(config, settings or (), root=root), PreparedCohort.open(store)
    if not isinstance(cohort, HasTrainingReports):
        raise UniferumError(str(config), cohort.name, must="be a cohort with training reports", cure="CTRATE has them")
    if cohort.name != prepared.name:
        raise UniferumError(f"store {store}", prepared.name, must=f"be that of cohort {cohort.name}")
    scans = {*prepared.scans_in("train"), *prepared.scans_in("validation")}
    texts = matched_reports(store, cohort.training_reports(), scans)
    if not dry_run:
        write_reports(store, texts)
    done = "would be written" if dry_run else "written"
    output.say(f"{store}: {len(texts)} reports of {len(scans)} training and validation scans {done}")
