"""Command `uniferum data segment`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.examples import examples

if TYPE_CHECKING:
    from orchestration.segment import SegmentationOptions
    from uniferum.data.cohorts.base import Cohort
    from uniferum.data.segmentation import Shard

EXAMPLES = examples(
    "uniferum data segment configs/cohorts/inspect.yaml  # on all GPUs of this machine",
    "uniferum data segment configs/cohorts/inspect.yaml --address auto  # on a Ray cluster",
    "uniferum data segment configs/cohorts/inspect.yaml --local --device gpu:1  # without Ray",
    "uniferum data segment configs/cohorts/inspect.yaml --local --shard $SLURM_ARRAY_TASK_ID/8  # in a SLURM array",
    more="Exit code: 0 every scan has a mask, 1 some failed, 2 bad input, 130 interrupted.",
)


def register(app: typer.Typer) -> None:
    """Add the command to `uniferum data`."""
    app.command("segment", epilog=EXAMPLES)(segment)


def segment(
    config: Annotated[Path, typer.Argument(help="The cohort's YAML file; masks are written to its masks_root.")],
    root: Annotated[Path | None, typer.Option("--root", help="The dataset's folder.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value: replaces a value of the cohort's YAML file.")
    ] = None,
    device: Annotated[str, typer.Option(help="gpu, cpu or mps; gpu:1 with --local.")] = "gpu",
    fast: Annotated[bool, typer.Option("--fast", help="Use the faster 3 mm model.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many scans.")] = None,
    timeout_s: Annotated[float, typer.Option("--timeout", min=1, help="Seconds a scan may take.")] = 3600.0,
    shard: Annotated[str, typer.Option(help="INDEX/COUNT: only this part of the cohort, e.g. 0/8.")] = "0/1",
    per_gpu: Annotated[int, typer.Option(min=1, help="Scans at once on each GPU.")] = 1,
    cpus: Annotated[float, typer.Option(min=0.1, help="Cores that each scan reserves in Ray.")] = 4.0,
    local: Annotated[bool, typer.Option("--local", help="Work in this process, without Ray.")] = False,
    address: Annotated[str | None, typer.Option(help="A Ray cluster to run on; default: one on this machine.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count the scans without a mask; segment nothing.")
    ] = False,
) -> None:
    """Run TotalSegmentator on the scans that have no organ mask yet. The same command continues when interrupted."""
    from orchestration.prepare import connect_ray
    from orchestration.segment import SegmentationOptions, scans_without_masks
    from uniferum.data.cohorts.base import open_cohort
    from uniferum.data.segmentation import Shard

    how = SegmentationOptions(device, fast, timeout_s, per_gpu, cpus)
    _check_device(how, local)
    cohort, part = open_cohort(config, settings or (), root=root), Shard.parse(shard)
    count = sum(1 for _ in scans_without_masks(cohort, part, limit))
    where = f" in shard {shard}" if part.count > 1 else ""
    output.Summary(is_result=dry_run or not count).line(f"{cohort.name}: {count} scans without a mask{where}")
    if count and not dry_run:
        _segment(cohort, how, part, count, limit, use_ray=not local and connect_ray(address, None))


def _segment(
    cohort: "Cohort", how: "SegmentationOptions", shard: "Shard", count: int, limit: int | None, *, use_ray: bool
) -> None:
    from orchestration.segment import segment_cohort
    from uniferum.data.segmentation import masks_folder

    with output.progress() as bar:
        task = bar.add_task(f"{cohort.name}", total=count)
        summary = segment_cohort(
            cohort, how, shard=shard, limit=limit, use_ray=use_ray, on_scan=lambda done: bar.advance(task)
        )
    failed = [(done.scan_id, done.fault) for done in summary.failed]
    kept = f", {summary.kept} written by another run meanwhile" if summary.kept else ""
    output.result(f"{summary.made} masks in {masks_folder(cohort)}{kept}, {len(failed)} scans failed")
    if failed:
        output.Summary().table("failed", ("scan", "reason"), failed)
        raise typer.Exit(1)


def _check_device(how: "SegmentationOptions", local: bool) -> None:
    from uniferum.errors import UniferumError

    name, _, number = how.device.partition(":")
    if name not in ("gpu", "cpu", "mps") or (number and not (name == "gpu" and number.isdecimal())):
        raise UniferumError("--device", how.device, must="be gpu, gpu:N, cpu or mps")
    if number and not local:
        raise UniferumError("--device", how.device, must="be gpu with Ray, which gives each scan a GPU", cure="--local")
