"""The command `uniferum predict`: a trained model asked about raw scans."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli import output, weights

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = """
**Examples**

`uniferum predict runs/mine scan.nii.gz --label emphysema --label cardiomegaly`

`uniferum predict runs/mine series_folder/ --prompt "Diagnose the presence of a lung nodule" --format json`

`uniferum predict runs/mine folder_of_volumes/ --label emphysema > answers.csv` asks about every volume in a folder.

`uniferum predict runs/mine scan.nii.gz --label emphysema --force` answers although the scan looks wrong.

Quality flags stand beside each answer. A scan whose intensities (`wrong_hu`) or axes (`orientation_doubtful`) are
doubtful is not answered without `--force`. Exit code: 0 all scans were answered; 1 some failed or were refused, the
others were answered; 2 bad input.
"""


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
    prompt: Annotated[list[str] | None, typer.Option("--prompt", help="A question, in words; repeatable.")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", help="A label of the vocabulary; repeatable.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Answer also for scans whose intensities or axes are doubtful.")
    ] = False,
    form: Annotated[Literal["csv", "json"], typer.Option("--format", help="How results are printed.")] = "csv",
    device: Annotated[str | None, typer.Option(help="cuda, cpu; the first GPU where there is one.")] = None,
    weights_dir: weights.WeightsDir = None,
) -> None:
    """Ask a trained model about raw scans: one probability a scan and prompt. Not for clinical use."""
    from uniferum.run.ask import Trained, ask, questions_of
    from uniferum.run.scans import scans_of

    weights.use(weights_dir)
    questions = questions_of(prompt or (), label or ())
    table, failed = ask(Trained.load(checkpoint, device=device), scans_of(volumes), questions, force=force)
    output.result(str(table.drop(columns="notes").to_csv(index=False)) if form == "csv" else as_json(table))
    say_quality(table)
    for reason in failed.values():
        output.fail(reason)
    if failed:
        raise typer.Exit(1)


def as_json(table: "pd.DataFrame") -> str:
    """The answers as a list of objects; what is not known (a missing output, flags nobody looked for) is null."""
    from uniferum.run.ask import split_flags

    def one(row: dict[str, Any]) -> dict[str, Any]:
        numbers = {name: None if math.isnan(row[name]) else row[name] for name in ("logit", "probability")}
        return {**row, **numbers, "flags": split_flags(row["flags"]), "notes": list(row["notes"])}

    return json.dumps([one(row) for row in table.to_dict(orient="records")], indent=2)


def say_quality(table: "pd.DataFrame") -> None:
    """For the person at the terminal: flags and notes of each scan that was answered, and outputs that are missing."""
    from uniferum.preprocessing.flags import doubtful, meaning
    from uniferum.run.ask import split_flags

    for row in table.drop_duplicates("scan").to_dict(orient="records"):
        flags = split_flags(row["flags"]) or []
        if doubtful(flags):
            output.say(f"{row['scan']}: answered with --force, do not rely on it")
        for flag in flags:
            output.say(f"{row['scan']}: {flag}: {meaning(flag)}")
        for note in row["notes"]:
            output.say(f"{row['scan']}: note: {note}")
    missing = sorted(set(table.loc[table["logit"].isna(), "label"].tolist()))
    if missing:
        named = ", ".join(label or "free prompts" for label in missing)
        output.say(f"this model has no output for {named}: these answers are empty")
