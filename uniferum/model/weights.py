"""Read the tensors of weights files, without running any code that is in them."""

import json
import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from uniferum.errors import UniferumError
from uniferum.model.pretrained import PICKLED, SAFE, weights_file

NOT_A_PICKLE = (ValueError, KeyError, TypeError, AttributeError, IndexError)
"""Errors raised when a file is not of the format that its name says."""


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a weights file, or of the weights file in a folder; pickles cannot run code.

    Raises:
        UniferumError: the file is missing, incomplete, or holds more than tensors.
    """
    if path.is_dir():
        path = weights_file(path)
    if not path.is_file():
        raise UniferumError(str(path), must="be a weights file", cure=f"expected {SAFE} or {PICKLED}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError, *NOT_A_PICKLE) as error:
        reason = " ".join(str(error).split())[:120]
        size = f"{path.stat().st_size} bytes"
        raise UniferumError(
            str(path), size, must=f"be a whole weights file{_expected_size(path)}", cure=reason
        ) from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UniferumError(str(path), must="hold tensors by name and nothing else", cure="give its state dict alone")
    return state


def _expected_size(path: Path) -> str:
    """The size that the header of a safetensors file gives, in words; empty if the header is incomplete."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if path.suffix == ".safetensors" and length < 2**28 else {}
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except (OSError, *NOT_A_PICKLE):
        return ""
    return f" of {8 + length + max(ends)} bytes" if ends else ""


def shape_text(tensor: Tensor | None) -> str:
    """The shape of a tensor for a message, e.g. ``3 x 4``; ``absent`` for None."""
    return "absent" if tensor is None else " x ".join(map(str, tensor.shape)) or "one number"
