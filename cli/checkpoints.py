"""The command `uniferum import-checkpoint`: convert weights of the paper's released code to a model folder."""

from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.examples import examples

EXAMPLES = examples(
    "uniferum import-checkpoint released/model.safetensors --out models/released",
    "uniferum import-checkpoint released --out models/released --weights-dir /data/weights",
)


def register(app: typer.Typer) -> None:
    """Add the command to the main application."""
    app.command(name="import-checkpoint", epilog=EXAMPLES)(import_checkpoint)


def import_checkpoint(
    checkpoint: Annotated[
        Path, typer.Argument(help="model.safetensors of the released code, or the folder of that file.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The model folder that is written; it must not exist yet.")],
    text: Annotated[
        str | None, typer.Option("--text", help="The text encoder of the checkpoint: hub id or folder.")
    ] = None,
    weights_dir: Annotated[
        Path | None, typer.Option("--weights-dir", help="A folder of pretrained models in the hub's format.")
    ] = None,
) -> None:
    """Import a checkpoint of the paper's released code.

    Of the text encoder only the config and the tokenizer are needed, because the checkpoint holds its weights.
    """
    from uniferum.model.config import PUBMEDBERT
    from uniferum.model.saved.hub import save_pretrained
    from uniferum.model.saved.import_released import import_released
    from uniferum.preprocessing.geometry import Geometry

    imported = import_released(checkpoint, text=text or PUBMEDBERT, weights_dir=weights_dir)
    save_pretrained(imported.model, out, imported.config, Geometry(), (), trained_on="what the importing user knows")
    for why, count in imported.left_out.items():
        output.say(f"left out {count} tensors: {why}")
    output.result(str(out))
