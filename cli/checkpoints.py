"""The command `uniferum import-checkpoint`: weights of the paper's released code become a model folder of ours."""

from pathlib import Path
from typing import Annotated

import typer

from cli import output


def register(app: typer.Typer) -> None:
    """Add the command to the main application."""
    app.command(name="import-checkpoint")(import_checkpoint)


def import_checkpoint(
    checkpoint: Annotated[Path, typer.Argument(help="model.safetensors of the released code, or its folder.")],
    out: Annotated[Path, typer.Option("--out", help="The model folder to write; must not exist yet.")],
    text: Annotated[str | None, typer.Option("--text", help="Its text encoder: hub id or folder.")] = None,
    weights_dir: Annotated[Path | None, typer.Option("--weights-dir", help="Pretrained models, hub format.")] = None,
) -> None:
    """Import a checkpoint of the paper's released code; only the text encoder's config and tokenizer are needed."""
    from uniferum.model.config import PUBMEDBERT
    from uniferum.model.saved.hub import save_pretrained
    from uniferum.model.saved.import_released import import_released
    from uniferum.preprocessing.geometry import Geometry

    imported = import_released(checkpoint, text=text or PUBMEDBERT, weights_dir=weights_dir)
    save_pretrained(imported.model, out, imported.config, Geometry(), (), trained_on="what the importing user knows")
    for why, count in imported.left_out.items():
        output.say(f"left out {count} tensors: {why}")
    output.result(str(out))
