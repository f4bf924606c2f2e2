"""Command `uniferum data segment`."""

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from cli import output


def register(app: typer.Typer) -> None:
    """Add the command to `uniferum data`."""
    app.command("segment")(segment)


def segment(
    config: Annotated[Path, typer.Argument(help="The cohort's YAML file; masks go to its masks_root.")],
    root: Annotated[Path | None, typer.Option("--root", help="The dataset's folder.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="key=value laid over the cohort's YAML.")] = None,
    device: Annotated[str, typer.Option(help="gpu, gpu:1, cpu or mps.")] = "gpu",
    fast: Annotated[bool, typer.Option("--fast", help="The 3 mm model.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many scans.")] = None,
    timeout_s: Annotated[float, typer.Option("--timeout", min=1, help="Seconds a scan may take.")] = 3600.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the scans without a mask, and stop.")] = False,
) -> None:
    """Run TotalSegmentator on the scans that have no organ mask yet; run again, it goes on."""
    from uniferum.data import segmentation
    from uniferum.data.cohorts.base import open_cohort

    cohort = open_cohort(config, settings or (), root=root)
    if dry_run:
        output.say(f"{cohort.name}: {sum(1 for _ in segmentation.waiting(cohort))} scans without a mask")
        return
    program = segmentation.installed_program()
    folder = segmentation.masks_folder(cohort)
    scans = list(islice(segmentation.waiting(cohort), limit))
    failed: list[tuple[str, str]] = []
    with output.progress() as bar:
        task = bar.add_task(f"{cohort.name}", total=len(scans))
        for done in segmentation.segment(scans, folder, program, device=device, fast=fast, timeout_s=timeout_s):
            failed += [(done.scan_id, done.fault)] if done.fault else []
            bar.advance(task)
    output.say(f"{len(scans) - len(failed)} masks in {folder}, {len(failed)} scans failed")
    if failed:
        output.table("failed", ("scan", "why"), failed)
        raise typer.Exit(1)
