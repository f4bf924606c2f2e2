"""The command `uniferum predict`: ask a trained model about raw scans."""

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli import output, weights
from cli.examples import examples

if TYPE_CHECKING:
    from uniferum.run.ask import Asked

EXAMPLES = examples(
    "uniferum predict runs/mine scan.nii.gz --label emphysema --label cardiomegaly",
    'uniferum predict runs/mine series_folder/ --prompt "Diagnose the presence of a lung nodule" --format json',
    "uniferum predict runs/mine folder_of_volumes/ --label emphysema > answers.csv  # every volume in the folder",
    "uniferum predict runs/mine scan.nii.gz --label emphysema --force  # although the scan looks wrong",
    more="Quality flags stand beside each answer. A scan with doubtful intensities (`wrong_hu`) or axes "
    "(`orientation_doubtful`) is answered only with `--force`.\n\n"
    "Exit code: 0 all scans were answered; 1 some failed or were refused, the others were answered; 2 bad input.",
)


def register(app: typer.Typer) -> None:
    """Add the command to the main application."""
    app.command(epilog=EXAMPLES)(predict)


def predict(
    checkpoint: Annotated[
        Path, typer.Argument(help="A run's folder, one of its checkpoints, or a saved or imported model.")
    ],
    volumes: Annotated[
        list[Path], typer.Argument(help="NIfTI, MetaImage or npz files, folders of them, or folders of DICOM series.")
    ],
    prompt: Annotated[
        list[str] | None, typer.Option("--prompt", help="A question in words; may be given again.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", help="A label of the vocabulary; may be given again.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Answer also scans with doubtful intensities or axes.")
    ] = False,
    form: Annotated[Literal["csv", "json"], typer.Option("--format", help="How results are printed.")] = "csv",
    device: Annotated[str | None, typer.Option(help="cuda or cpu; default: the first GPU if there is one.")] = None,
    weights_dir: weights.WeightsDir = None,
) -> None:
    """Ask a trained model about raw scans: one probability for each scan and prompt. Not for clinical use.

    CSV rows are printed as soon as they are answered. After Ctrl-C the answers so far are kept, in both formats.
    """
    from uniferum.run.ask import Trained, ask_each, questions_of
    from uniferum.run.scans import scans_of

    weights.use(weights_dir)
    questions = questions_of(prompt or (), label or ())
    every = ask_each(Trained.load(checkpoint, device=device), scans_of(volumes), questions, force=force)
    if report(every, form):
        raise typer.Exit(1)


def report(every: "Iterable[Asked]", form: str) -> int:
    """Print the answers of each scan, its quality flags and its error as soon as they are known.

    Returns:
        The number of scans that were not answered.
    """
    from uniferum.run.ask import COLUMNS

    rows: list[dict[str, Any]] = []
    unanswered = 0
    if form == "csv":
        output.stream(as_csv([column for column in COLUMNS if column != "notes"]))
    try:
        for asked in every:
            rows += asked.rows
            if form == "csv":
                output.stream("".join(as_csv([v for k, v in row.items() if k != "notes"]) for row in asked.rows))
            say_quality(asked)
            unanswered += bool(asked.fault)
    finally:  # also on Ctrl-C
        if form == "json":
            output.result(json.dumps([as_json(row) for row in rows], indent=2))
    say_missing(rows)
    return unanswered


def as_csv(cells: "Sequence[Any]") -> str:
    """Format one line of CSV; a missing number is an empty cell."""
    line = io.StringIO()
    empty = ["" if isinstance(cell, float) and math.isnan(cell) else cell for cell in cells]
    csv.writer(line, lineterminator="\n").writerow(empty)
    return line.getvalue()


def as_json(row: "dict[str, Any]") -> dict[str, Any]:
    """Convert an answer to JSON types; unknown values (no output for the label, flags not checked) are null."""
    from uniferum.run.ask import split_flags

    numbers = {name: None if math.isnan(row[name]) else row[name] for name in ("logit", "probability")}
    return {**row, **numbers, "flags": split_flags(row["flags"]), "notes": list(row["notes"])}


def say_quality(asked: "Asked") -> None:
    """Say why a scan is not answered, or print the flags and notes of an answered one."""
    from uniferum.preprocessing.flags import doubtful, meaning
    from uniferum.run.ask import split_flags

    if asked.fault:
        output.fail(asked.fault)
    for row in asked.rows[:1]:
        flags = split_flags(row["flags"]) or []
        if doubtful(flags):
            output.say(f"{row['scan']}: answered because of --force; the result is not reliable")
        for flag in flags:
            output.say(f"{row['scan']}: {flag}: {meaning(flag)}")
        for note in row["notes"]:
            output.say(f"{row['scan']}: note: {note}")


def say_missing(rows: "Sequence[dict[str, Any]]") -> None:
    """Name the labels for which the model has no output."""
    missing = sorted({row["label"] for row in rows if math.isnan(row["logit"])})
    if missing:
        named = ", ".join(label or "free prompts" for label in missing)
        output.say(f"this model has no output for {named}: these answers are empty")
