"""Cells that start from the weights of another cell: ``model.ct_clip.checkpoint: cell:NAME``.

The weights are the best checkpoint of the cell of that name and of the same seed. The plan puts their path into the
config once that cell is trained; until then the cell waits.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from uniferum.errors import UniferumError, near_miss
from uniferum.run_files import RunFiles

if TYPE_CHECKING:
    from uniferum.run import RunConfig

PREFIX = "cell:"
KEY = "model.ct_clip.checkpoint"
WAITS = "waits for the cell"
"""Beginning of the reason of a planned cell whose start is not trained yet."""


def named_start(config: "RunConfig") -> str | None:
    """The name after ``cell:``; None for a cell that starts from no other cell."""
    checkpoint = config.model.ct_clip.checkpoint
    if config.model.kind != "ct_clip" or checkpoint is None or not checkpoint.startswith(PREFIX):
        return None
    return checkpoint.removeprefix(PREFIX)


def starts_from(config: "RunConfig", names: Collection[str]) -> str | None:
    """Name the cell from whose weights a cell starts, with its own seed if there is one; None for most cells."""
    name = named_start(config)
    if name is None:
        return None
    of_seed = f"{name}-seed{config.seed}"
    return of_seed if of_seed in names else name


def check_starts(cells: Mapping[str, "RunConfig"], source: str) -> None:
    """Check that each cell starts from a cell of the grid.

    Raises:
        UniferumError: there is no such cell, or it starts from another cell itself.
    """
    for cell, config in cells.items():
        name = starts_from(config, cells)
        if name is None:
            continue
        where = f"{source}: cell {cell}: {KEY}"
        if name not in cells:
            raise UniferumError(where, name, must="be a cell of the grid", cure=near_miss(name, cells))
        if named_start(cells[name]) is not None:
            raise UniferumError(where, name, must="be a cell that starts from no other cell")


def started(config: "RunConfig", folder: Path) -> "RunConfig":
    """Put the best checkpoint of the trained cell in ``folder`` into the config of a cell that starts from it."""
    own = config.model.ct_clip.replace(checkpoint=str(RunFiles(folder).best / "model.safetensors"))
    return config.replace(model=config.model.replace(ct_clip=own))
