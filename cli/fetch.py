"""Command `uniferum data fetch`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.examples import examples

if TYPE_CHECKING:
    from uniferum.data.fetch.plan import FetchPlan
    from uniferum.data.fetch.sources import HubSource, PersonSource, Source, ZenodoSource

EXAMPLES = examples(
    "uniferum data fetch CTRATE --out /data/CT-RATE --dry-run",
    "uniferum data fetch CTRATE --out /data/CT-RATE --split valid --limit 20",
    "uniferum data fetch LUNA16 --out /data/LUNA16",
    "uniferum data fetch INSPECT --out /data/INSPECT",
    more="Exit code: 0 all files are there, 1 some files could not be downloaded, 2 no access or bad input, "
    "130 interrupted. Run the same command again to continue.\n\n"
    "Environment: HF_TOKEN (or hf auth login), HF_ENDPOINT, ZENODO_LINK, ZENODO_TOKEN, ZENODO_ENDPOINT.",
)
SHOWN = 20
"""Number of files that a dry run lists; the others are only counted."""


def register(app: typer.Typer) -> None:
    """Add the command to `uniferum data`."""
    app.command("fetch", epilog=EXAMPLES)(fetch)


def fetch(
    dataset: Annotated[str, typer.Argument(help="CTRATE, RADCHEST, LUNA16 or INSPECT.")],
    out: Annotated[Path, typer.Option("--out", help="The folder of the dataset, as in --root of other commands.")],
    split: Annotated[
        str | None, typer.Option(help="One split: train or valid (RADCHEST: or test); default: all.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most this many scans of each split, with their masks and all tables.")
    ] = None,
    parallel: Annotated[
        int, typer.Option(min=1, max=64, help="How many files are downloaded from the hub at the same time.")
    ] = 4,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print files, sizes and free space; download nothing.")
    ] = False,
) -> None:
    """Download a public dataset in its own layout. The same command continues an interrupted download."""
    from uniferum.data.fetch.sources import HubSource, PersonSource, chosen_splits, source_of

    source = source_of(dataset)
    name = dataset.upper().replace("-", "")
    splits = chosen_splits(source, name, split)
    output.say(f"{name}: {source.title}. Licence: {source.licence}. Access: {source.access}.")
    if isinstance(source, PersonSource):
        _by_a_person(name, source, out)
    elif isinstance(source, HubSource):
        _from_hub(name, source, out, splits, limit, parallel, dry_run)
    else:
        _from_zenodo(name, source, out, splits, limit, dry_run)


def _from_hub(
    name: str, source: "HubSource", out: Path, splits: tuple[str, ...], limit: int | None, parallel: int, dry_run: bool
) -> None:
    from uniferum.data.fetch.hub import Hub
    from uniferum.data.fetch.plan import begin_record

    hub = Hub(source)
    plan = hub.plan(name, splits, limit)
    if not _agreed(plan, out, dry_run):
        return
    record = begin_record(plan, out)
    record.add(plan.files)
    record.write(out)
    with output.transfer(name, plan.total_bytes, len(plan.files)) as bar:
        fetched = hub.download(plan, out, parallel=parallel, heard=bar.bytes, heard_file=bar.file)
    record.done = not fetched.failed
    record.write(out)
    output.result(
        f"{fetched.downloaded} files downloaded, {fetched.kept} were already there, {len(fetched.failed)} failed"
    )
    if fetched.failed:
        output.Summary().table("not downloaded", ("file", "why"), fetched.failed[:50])
        output.say("Run the same command again to download them.")
        raise typer.Exit(1)
    _next(source, out)


def _from_zenodo(
    name: str, source: "ZenodoSource", out: Path, splits: tuple[str, ...], limit: int | None, dry_run: bool
) -> None:
    from uniferum.data.fetch.plan import begin_record
    from uniferum.data.fetch.zenodo import Zenodo

    zenodo = Zenodo(source)
    plan = zenodo.plan(name, out, splits, limit)
    if not _agreed(plan, out, dry_run):
        return
    record = begin_record(plan, out)
    with output.transfer(name, plan.total_bytes, len(plan.files)) as bar:
        new, kept = zenodo.download(plan, out, record, heard=bar.bytes, heard_file=bar.file)
    record.done = True
    record.write(out)
    output.result(f"{new} files downloaded, {kept} were already there")
    _next(source, out)


def _by_a_person(name: str, source: "PersonSource", out: Path) -> None:
    from uniferum.data.fetch.person import missing, steps

    absent = missing(source, out)
    if not absent:
        output.result(f"{out / source.folder}: the tables and volumes of {name} are complete")
        _next(source, out / source.folder)
        return
    output.result(f"{name} can only be downloaded by hand. The steps:")
    for line in steps(source, out):
        output.result(line)
    output.result(f"still missing: {', '.join(str(out / source.folder / pattern) for pattern in absent)}")
    _next(source, out / source.folder, when="then")


def _agreed(plan: "FetchPlan", out: Path, dry_run: bool) -> bool:
    """Say what will be downloaded; False in a dry run."""
    for note in plan.notes:
        output.say(note)
    output.Summary(is_result=dry_run).line(plan.sentence(out))
    if not dry_run:
        plan.check_space(out)
        return True
    from uniferum.data.fetch.plan import gb

    rows = [(file.path, gb(file.size)) for file in plan.files[:SHOWN]]
    output.Summary().table("files", ("file", "size"), rows)
    if len(plan.files) > SHOWN:
        output.say(f"... and {len(plan.files) - SHOWN} more")
    return False


def _next(source: "Source", root: Path, when: str = "next") -> None:
    output.say(f"{when}: uniferum data check {source.config} --root {root}")
