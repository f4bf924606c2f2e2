"""The option `--weights-dir`, shared by the commands that train: where weights lie is no part of what a run is."""

import os
from pathlib import Path
from typing import Annotated

import typer

from uniferum.errors import UniferumError

WeightsDir = Annotated[
    Path | None,
    typer.Option(
        "--weights-dir",
        envvar="UNIFERUM_WEIGHTS_DIR",
        help="A folder of pretrained models in the hub's format, for a machine without internet.",
    ),
]


def use(folder: Path | None) -> None:
    """Tell this process and the workers that it starts.

    Raises:
        UniferumError: it is no folder.
    """
    if folder is None:
        return
    if not folder.is_dir():
        raise UniferumError("--weights-dir", folder, must="be a folder that holds a folder for each model")
    os.environ["UNIFERUM_WEIGHTS_DIR"] = str(folder.resolve())
