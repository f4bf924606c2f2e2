"""The command `uniferum predict`: a trained model asked about raw scans."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli import output, weights


def register(app: typer.Typer) -> None:
    """Add the command to the main application."""
    app.command()(predict)


def predict(
    checkpoint: Annotated[
        Path, typer.Argument(help="A run's folder, one of its checkpoints, or a saved or imported model.")
    ],
    volumes: Annotated[list[Path], typer.Argument(help="NIfTI, MetaImage or npz files, or folders of DICOM series.")],
    prompt: Annotated[list[str] | None, typer.Option("--prompt", help="A question, in words; repeatable.")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", help="A label of the vocabulary; repeatable.")] = None,
    form: Annotated[Literal["csv", "json"], typer.Option("--format", help="How results are printed.")] = "csv",
    device: Annotated[str | None, typer.Option(help="cuda, cpu; the first GPU where there is one.")] = None,
    weights_dir: weights.WeightsDir = None,
) -> None:
    """Ask a trained model about raw scans: one probability a scan and prompt. Not for clinical use."""
    from uniferum.run.ask import Trained, ask, questions_of

    weights.use(weights_dir)
    questions = questions_of(prompt or (), label or ())
    table, failed = ask(Trained.load(checkpoint, device=device), volumes, questions)
    rows = table.to_dict(orient="records")
    output.result(str(table.to_csv(index=False)) if form == "csv" else json.dumps(rows, indent=2))
    for reason in failed.values():
        output.fail(reason)
    if failed:
        raise typer.Exit(1)
