"""Write and read checkpoints: atomically, with the fingerprint of their run, and without executing code.

A checkpoint is a folder with ``model.safetensors``, ``checkpoint.json`` and, to resume, ``optimizer.pt``. It is
written to a temporary folder, synced and renamed; then the links ``best`` and ``last`` are switched, each by one
rename, and old checkpoints without a link are removed. A kill at any moment therefore leaves a complete checkpoint.
"""

import json
import pickle
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from uniferum.atomic import sync
from uniferum.errors import OtherHardware, UniferumError
from uniferum.model.weights import shape_text
from uniferum.training.state import TrainingProgress

WEIGHTS, OPTIMIZER, CARD = "model.safetensors", "optimizer.pt", "checkpoint.json"
FORMAT = 1
CARD_KEYS = ("name", "fingerprint", "progress", "labels", "config", "preparation")
NOT_AS_WRITTEN = (ValueError, KeyError, TypeError, AttributeError, IndexError)
"""Errors raised by a complete file with other content than expected."""


@dataclass(frozen=True)
class Identity:
    """The run of a checkpoint, with everything needed to build its model again."""

    name: str
    fingerprint: str
    config: Mapping[str, Any]
    """The resolved RunConfig."""
    labels: tuple[str, ...]
    """The output order of models with one output per label."""
    preparation: Mapping[str, Any] = field(default_factory=dict)
    """The preparation of the scans, to prepare a raw scan in the same way."""
    precision: str = "fp32"
    """The precision of this machine; it is in no fingerprint if the config says ``auto``."""


class Checkpoints:
    """The checkpoints of one run: ``last`` to resume, ``best`` to predict."""

    def __init__(self, folder: Path, identity: Identity) -> None:
        self.folder, self.identity = folder, identity

    @property
    def last(self) -> Path:
        """The checkpoint that training resumes from."""
        return self.folder / "last"

    @property
    def best(self) -> Path:
        """The checkpoint with the best validation."""
        return self.folder / "best"

    def save(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, progress: TrainingProgress, *, best: bool = False
    ) -> Path:
        """Write a checkpoint and link ``last`` to it, with ``best`` also the link ``best``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=self.folder, prefix=".draft-"))
        try:
            save_file({name: tensor.contiguous() for name, tensor in _state(model).items()}, draft / WEIGHTS)
            torch.save(optimizer.state_dict(), draft / OPTIMIZER)
            (draft / CARD).write_text(json.dumps(self._card(progress), indent=1))
            for path in [*draft.iterdir(), draft]:
                sync(path)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)  # on a full disk an incomplete checkpoint must not use space
            raise
        draft.chmod(0o755)
        target = self._free_folder(progress.step)
        draft.rename(target)
        if best:  # first: after a kill in between, the resumed run links the same best again
            _point(self.best, target)
        _point(self.last, target)
        sync(self.folder)
        self._prune()
        return self.last

    def load_last(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> TrainingProgress | None:
        """Load the last checkpoint and return its progress, or None if there is none.

        Raises:
            UniferumError: it belongs to another config, or is damaged.
        """
        if not self.last.exists():
            return None
        card = read_card(self.last)
        self.refuse_stranger(card)
        before, now = card.get("precision", self.identity.precision), self.identity.precision
        if before != now:
            raise OtherHardware(
                f"{self.last} has the precision {before}, and this machine has {now}",
                cure=f"Resume on a machine with {before}, or train again with training.precision: {now}.",
            )
        load_weights(model, self.last)
        try:
            optimizer.load_state_dict(torch.load(self.last / OPTIMIZER, map_location="cpu", weights_only=True))
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, *NOT_AS_WRITTEN) as error:
            raise _damaged(self.last / OPTIMIZER, error) from None
        _lay_out_as_weights(optimizer)
        return TrainingProgress.from_json(card["progress"])

    def refuse_stranger(self, card: Mapping[str, Any]) -> None:
        """Refuse the card of a checkpoint of another config."""
        if card["fingerprint"] != self.identity.fingerprint:
            raise UniferumError(
                str(self.folder),
                f"run {card['name']}, fingerprint {card['fingerprint']}",
                must=f"hold checkpoints of run {self.identity.name}, fingerprint {self.identity.fingerprint}",
                cure="give another folder, or the config (and data) that it was trained with",
            )

    def _card(self, progress: TrainingProgress) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "name": self.identity.name,
            "fingerprint": self.identity.fingerprint,
            "progress": progress.as_json(),
            "labels": list(self.identity.labels),
            "config": dict(self.identity.config),
            "preparation": dict(self.identity.preparation),
            "precision": self.identity.precision,
        }

    def _free_folder(self, step: int) -> Path:
        target, again = self.folder / f"step-{step:08d}", 1
        while target.exists():
            again += 1
            target = self.folder / f"step-{step:08d}-{again}"
        return target

    def _prune(self) -> None:
        last, best = self.last.resolve(), self.best.resolve()
        for target in self.folder.iterdir():
            if target.is_symlink() or not target.is_dir() or target.resolve() in (last, best):
                continue
            shutil.rmtree(target)
        if best != last:
            (best / OPTIMIZER).unlink(missing_ok=True)


def read_card(folder: Path) -> dict[str, Any]:
    """Read the card of a checkpoint: name, fingerprint, progress, labels, config.

    Raises:
        UniferumError: the folder is not a checkpoint of this format.
    """
    path = folder / CARD
    if not path.exists():
        raise UniferumError(str(folder), must=f"be a checkpoint folder (with {CARD} and {WEIGHTS})")
    try:
        card = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from None
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise UniferumError(str(path), must=f"be a checkpoint card of format {FORMAT}")
    missing = [key for key in CARD_KEYS if key not in card]
    if missing:
        raise UniferumError(
            str(path), must=f"have the keys {', '.join(CARD_KEYS)}, but {', '.join(missing)} are absent"
        )
    return card


def load_weights(model: nn.Module, folder: Path) -> None:
    """Load a checkpoint's weights into a model of the same shape.

    Raises:
        UniferumError: the file is missing or incomplete, or holds other tensors than the model.
    """
    path = folder / WEIGHTS
    try:
        held = load_file(path)
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from None
    _refuse_other_tensors(path, held, model.state_dict())
    model.load_state_dict(held)


def _refuse_other_tensors(path: Path, held: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    for name in sorted(held.keys() | wanted.keys()):
        there, here = shape_text(held.get(name)), shape_text(wanted.get(name))
        if there != here:
            raise UniferumError(f"{path}: {name}", there, must=f"have the model's shape ({here})")


def _state(model: nn.Module) -> dict[str, Tensor]:
    """Return the state dict to save; tensors that share memory are copied, because safetensors requires it."""
    seen: set[int] = set()
    state: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        state[name] = tensor.clone() if tensor.data_ptr() in seen else tensor
        seen.add(tensor.data_ptr())
    return state


def _lay_out_as_weights(optimizer: torch.optim.Optimizer) -> None:
    """Give each optimizer moment the memory order of its weight, which the fused optimizer needs.

    They differ if the checkpoint was written with another ``encoder.channels_last``.
    """
    for weight, held in optimizer.state.items():
        for name, moment in held.items():
            if isinstance(moment, Tensor) and moment.shape == weight.shape and moment.stride() != weight.stride():
                held[name] = torch.empty_like(weight, dtype=moment.dtype).copy_(moment)


def _point(link: Path, target: Path) -> None:
    draft = link.with_name(f".{link.name}.link")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target.name)
    draft.replace(link)


def _damaged(path: Path, error: BaseException) -> UniferumError:
    return UniferumError(str(path), must="be readable", cure=" ".join(str(error).split())[:200])
