"""The option `--weights-dir`, shared by the commands that train, and the command `uniferum weights check`.

The location of weights is in no fingerprint.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.examples import examples
from uniferum.errors import UniferumError

if TYPE_CHECKING:
    from uniferum.model.needs import PretrainedNeed
    from uniferum.model.saved.check_weights import WeightsCheck
    from uniferum.report.tables.sheet import Sheet

app = typer.Typer(no_args_is_help=True)

WeightsDir = Annotated[
    Path | None,
    typer.Option(
        "--weights-dir",
        envvar="UNIFERUM_WEIGHTS_DIR",
        help="A folder of pretrained models in the hub's format, for a machine without internet.",
    ),
]


LIST = examples(
    "uniferum weights list --grid configs/paper_grid.yaml",
    "uniferum weights list --grid configs/paper_grid.yaml --to /media/usb/weights --format json",
)
EXAMPLES = examples(
    "uniferum weights check --grid configs/paper_grid.yaml --weights-dir /data/weights",
    "uniferum weights check /data/weights/my-bert --layers 4 --format json",
)


def use(folder: Path | None) -> None:
    """Set the folder of pretrained weights for this process and the workers that it starts.

    Raises:
        UniferumError: the folder does not exist.
    """
    if folder is None:
        return
    if not folder.is_dir():
        raise UniferumError("--weights-dir", folder, must="be a folder with one folder for each model")
    os.environ["UNIFERUM_WEIGHTS_DIR"] = str(folder.resolve())


@app.callback(epilog=EXAMPLES)
def _weights() -> None:
    """Check pretrained weights before a grid starts."""


@app.command(epilog=EXAMPLES)
def check(
    names: Annotated[
        list[str] | None, typer.Argument(help="Hub ids or folders of text encoders, or image encoders of timm-3d.")
    ] = None,
    grid: Annotated[Path | None, typer.Option("--grid", help="Check what the cells of this grid file need.")] = None,
    layers: Annotated[int, typer.Option(min=1, max=48, help="How many layers of each named text encoder.")] = 4,
    weights_dir: WeightsDir = None,
    kind: Annotated[str, typer.Option("--format", help="terminal, md, csv, json, latex or html.")] = "terminal",
) -> None:
    """Check that tensors, tokenizer and layers load: a checksum and a forward pass each. Exit code 2: some do not."""
    from uniferum.model.saved.check_weights import check_name
    from uniferum.report.tables.rendering import check_kind, render_sheet

    check_kind(kind)
    use(weights_dir)
    if not names and grid is None:
        raise UniferumError("NAME", must="name at least one encoder", cure="or give --grid FILE")
    checks = [check_name(name, layers) for name in dict.fromkeys(names or ())]
    checks += _needed(grid) if grid else []
    output.result(render_sheet(_sheet(checks), kind))
    if any(one.fault for one in checks):
        raise typer.Exit(2)


@app.command("list", epilog=LIST)
def list_needed(
    grid: Annotated[Path, typer.Option("--grid", help="List what the cells of this grid file need.")],
    to: Annotated[Path, typer.Option(help="The folder of the download commands, to be copied.")] = Path("weights"),
    weights_dir: WeightsDir = None,
    kind: Annotated[str, typer.Option("--format", help="terminal, md, csv, json, latex or html.")] = "terminal",
) -> None:
    """List the pretrained weights of a grid, where they are here, and how to copy them to a machine without internet.

    It does not ask the network. Run the printed commands on a machine with internet, copy the folder, and give it with
    --weights-dir.
    """
    from uniferum.report.tables.rendering import check_kind, render_sheet

    check_kind(kind)
    use(weights_dir)
    output.result(render_sheet(_list_sheet(grid, to), kind))


def _list_sheet(grid: Path, to: Path) -> "Sheet":
    from orchestration.grid.cells import expand
    from orchestration.grid.config import load_grid
    from orchestration.grid.starts import PREFIX
    from uniferum.model.needs import pretrained_needs
    from uniferum.report.tables.sheet import Sheet

    models = [cell.config.model for cell in expand(load_grid(grid), source=str(grid))]
    every = dict.fromkeys(need for model in models for need in pretrained_needs(model))
    needs = [need for need in every if not need.name.startswith(PREFIX)]  # made by a cell of the grid
    rows = [[need.name, need.kind, _source(need), _here(need)] for need in needs]
    below = [need.copy_command(to) for need in needs]
    if any(_source(need) == "hub" for need in needs):
        below.append(f"Then copy {to} and run with: --weights-dir {to}")
    if not needs:
        below = ["Nothing is pretrained: all weights are drawn at random."]
    return Sheet("Pretrained weights", ["Name", "Kind", "From", "Here"], rows, below, words=4)


def _source(need: "PretrainedNeed") -> str:
    if need.kind == "whole":
        return "file"
    return "Python package" if need.package else "hub"


def _here(need: "PretrainedNeed") -> str:
    folder = need.here()
    return "no" if folder is None else str(folder)


def _needed(path: Path) -> "list[WeightsCheck]":
    """Check each text and image encoder of a grid's cells once."""
    from orchestration.grid.cells import expand
    from orchestration.grid.config import load_grid
    from uniferum.model.config import slice_weights
    from uniferum.model.saved.check_weights import check_image, check_slices, check_text
    from uniferum.systems import reads_text, system_of

    models = [cell.config.model for cell in expand(load_grid(path), source=str(path))]
    texts = {(m.text.name, m.text.layers): m.text for m in models if reads_text(m.kind)}
    images = {(m.encoder.name, m.encoder.weights): m.encoder for m in models if system_of(m.kind).own_encoder}
    slices = {(slice_weights(m), m.encoder.weights): m for m in models if slice_weights(m)}
    checks = (map(check_text, texts.values()), map(check_image, images.values()), map(check_slices, slices.values()))
    return [check for kind in checks for check in kind]


def _sheet(checks: "Sequence[WeightsCheck]") -> "Sheet":
    from uniferum.report.tables.sheet import Sheet

    headings = ["Name", "Kind", "Loads", "What", "Tokens", "Forward pass", "Off transformers"]
    rows = [
        [
            one.name,
            one.kind,
            "no" if one.fault else "yes",
            one.loaded or "-",
            one.tokens or "-",
            " ".join(f"{number:.5f}" for number in one.numbers) or "-",
            "-" if one.difference is None else f"{one.difference:.1e}",
        ]
        for one in checks
    ]
    below = [f"{one.name}: sha256 {one.sha256}, {one.path}" for one in checks if one.sha256]
    below += [f"{one.name}: {one.fault}" for one in checks if one.fault]
    below.append("Forward pass: text, the first numbers of [CLS]; image, mean, deviation, least and largest feature.")
    return Sheet("Pretrained weights", headings, rows, below, words=5)
