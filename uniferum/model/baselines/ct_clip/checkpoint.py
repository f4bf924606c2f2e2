"""Load weights into CT-CLIP: a published checkpoint, or the weights of a run of this project.

Files are read without running code in them. Names that are missing, unexpected or of another shape are refused with a
list of all of them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from uniferum.errors import UniferumError
from uniferum.model.baselines.ct_clip.clip import CtClip
from uniferum.model.baselines.ct_clip.names import HEAD, published_names, unused_reason, without_wrapper
from uniferum.model.baselines.ct_clip.prompts import published_labels
from uniferum.model.pretrained import digest_of_weights
from uniferum.model.weights import read_state, shape_text

KEY = "model.ct_clip.checkpoint"


@dataclass
class Loaded:
    """What a file gave."""

    published: bool
    """Whether it has the published names."""
    left_out: dict[str, int] = field(default_factory=dict)
    """What the tensors are that were not used -> their number."""


def load_checkpoint(model: CtClip, path: Path, *, sha256: str | None = None, labels: Iterable[str] = ()) -> Loaded:
    """Load a checkpoint into a model of the same sizes.

    Args:
        model: changed in place; the head of ClassFine stays as it is where the file has none.
        path: the file, or a folder with ``model.safetensors``.
        sha256: the file's checksum, if it must be that one file.
        labels: the labels of the model's head, in its order.

    Raises:
        UniferumError: no such file, another checksum, or tensors that do not fit the model.
    """
    if sha256 is not None:
        _refuse_other_file(path, sha256)
    state = {without_wrapper(name): tensor for name, tensor in read_state(path).items()}
    published = any(name.startswith("visual_transformer.") for name in state)
    matched = _from_published(model, state, list(labels)) if published else _from_run(model, state)
    _refuse(matched, model.state_dict(), path)
    model.load_state_dict({**model.state_dict(), **matched.tensors})
    return Loaded(published, matched.left_out)


def published_state(model: CtClip) -> dict[str, Tensor]:
    """The model's tensors under the names of the published code."""
    pre_norm = model.transformer.shape.pre_norm
    state: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        names = published_names(name, pre_norm=pre_norm)
        parts = tensor.chunk(len(names)) if len(names) > 1 else [tensor]
        state.update((one, part.clone()) for one, part in zip(names, parts, strict=True))
    return state


@dataclass
class _Matched:
    """Tensors under our names, and the names in the file that did not fit."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    other_shape: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def leave_out(self, reason: str) -> None:
        self.left_out[reason] = self.left_out.get(reason, 0) + 1


def _from_published(model: CtClip, state: Mapping[str, Tensor], labels: list[str]) -> _Matched:
    matched, used, pre_norm = _Matched(), set(), model.transformer.shape.pre_norm
    for name, like in model.state_dict().items():
        names = published_names(name, pre_norm=pre_norm)
        if name in HEAD:
            _take_head(matched, name, like, state, labels)
            continue
        used.update(names)
        absent = [one for one in names if one not in state]
        matched.missing += absent
        if absent:
            continue
        expected = torch.Size([like.shape[0] // len(names), *like.shape[1:]]) if like.ndim else like.shape
        fits = [_fits(matched, one, state[one], expected) for one in names]
        if all(fits):
            matched.tensors[name] = torch.cat([state[one] for one in names]) if len(names) > 1 else state[names[0]]
    for name in state.keys() - used - set(HEAD.values()):
        reason = unused_reason(name)
        if reason is None:
            matched.unexpected.append(name)
        else:
            matched.leave_out(reason)
    if "head.weight" not in model.state_dict() and HEAD["head.weight"] in state:
        matched.left_out["the head of ClassFine"] = len(HEAD)
    return matched


def _take_head(matched: _Matched, name: str, like: Tensor, state: Mapping[str, Tensor], labels: list[str]) -> None:
    """Take the rows of the model's labels; the published head has CT-RATE's 18 in the order of its label file."""
    held, order = state.get(HEAD[name]), published_labels()
    if held is None:
        return
    if len(held) != len(order) or held.shape[1:] != like.shape[1:]:
        matched.other_shape.append(f"{HEAD[name]} ({shape_text(held)}, not {len(order)} rows like {shape_text(like)})")
    elif unknown := [label for label in labels if label not in order]:
        matched.missing += [f"{HEAD[name]} of {label}" for label in unknown]
    else:
        matched.tensors[name] = held[[order.index(label) for label in labels]]


def _from_run(model: CtClip, state: Mapping[str, Tensor]) -> _Matched:
    """Take the tensors of a run's checkpoint; a head is taken only where it has the model's shape."""
    matched, wanted = _Matched(), model.state_dict()
    for name, like in wanted.items():
        if name in HEAD and (name not in state or state[name].shape != like.shape):
            continue
        if name not in state:
            matched.missing.append(name)
        elif _fits(matched, name, state[name], like.shape):
            matched.tensors[name] = state[name]
    matched.unexpected += [name for name in state if name not in wanted and name not in HEAD]
    return matched


def _fits(matched: _Matched, name: str, tensor: Tensor, expected: torch.Size) -> bool:
    if tensor.shape == expected:
        return True
    wanted = " x ".join(map(str, expected)) or "one number"
    matched.other_shape.append(f"{name} ({shape_text(tensor)}, not {wanted})")
    return False


def _refuse(matched: _Matched, wanted: Mapping[str, Tensor], path: Path) -> None:
    kinds = {"missing": matched.missing, "unexpected": matched.unexpected, "of another shape": matched.other_shape}
    faults = [f"{len(names)} {kind}: {', '.join(sorted(names))}" for kind, names in kinds.items() if names]
    if faults:
        raise UniferumError(
            f"{KEY}: {path}",
            must=f"hold the {len(wanted)} tensors of CT-CLIP in the sizes of model.ct_clip",
            cure="; ".join(faults),
        )


def _refuse_other_file(path: Path, sha256: str) -> None:
    if not path.is_file():
        raise UniferumError(KEY, str(path), must="be a file, because checkpoint_sha256 is given")
    digest = digest_of_weights(path)
    if digest != sha256:
        raise UniferumError(
            f"{KEY}: {path}",
            f"SHA-256 {digest}",
            must=f"have checkpoint_sha256 ({sha256})",
            cure="it is another file, or was damaged",
        )
