"""Save a model as a folder (weights as safetensors, config, tokenizer, model card) and load it again.

The folder needs neither the hub nor the pretrained parts of the model. It is written to a temporary folder, synced and
renamed, so it is never incomplete.
"""

import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from uniferum.atomic import sync
from uniferum.config import parse
from uniferum.data.vocabulary import Vocabulary
from uniferum.errors import UniferumError
from uniferum.model.base import Model
from uniferum.model.config import ModelConfig
from uniferum.model.pretrained import SAFE, find_pretrained
from uniferum.model.registry import builder_of
from uniferum.model.text import Text
from uniferum.model.tokenizer import PromptReader
from uniferum.model.transformer import Transformer, TransformerShape
from uniferum.model.weights import read_state, shape_text
from uniferum.preprocessing.geometry import Geometry
from uniferum.systems import reads_text, system_of
from uniferum.version import __version__

CONFIG, TOKENIZER, CARD = "config.json", "tokenizer.json", "README.md"
FORMAT = 1
KEYS = ("model", "geometry", "labels", "text_shape")
EXAMPLE = "Diagnose the presence of pleural effusion around the lungs"
"""The prompt of the model card's example, for a model without a label of the vocabulary."""


def save_pretrained(
    model: Model,
    folder: Path,
    config: ModelConfig,
    geometry: Geometry,
    labels: tuple[str, ...],
    *,
    trained_on: str = "",
) -> None:
    """Write a model to a new folder.

    Args:
        model: any compared system.
        folder: must not exist yet.
        config: the section that the model was built from.
        geometry: the voxel grids of its input.
        labels: the output order of models with one output per label.
        trained_on: a phrase for the model card.

    Raises:
        UniferumError: the folder exists.
    """
    if folder.exists():
        raise UniferumError(str(folder), must="not exist yet", cure="give another folder, or remove this one")
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        _fill(draft, model, _described(model, config, geometry, labels), trained_on)
        draft.chmod(0o755)
        draft.rename(folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def from_pretrained(name: str | Path, weights_dir: Path | None = None) -> Model:
    """Load a model from such a folder, or from the hub by name, in evaluation mode.

    Raises:
        UniferumError: no such folder, a config of another format, or tensors that do not fit it.

    Examples:
        >>> import uniferum
        >>> uniferum.from_pretrained(folder).tokens_shape
        (3, 2, 1)
    """
    folder = find_pretrained(str(name), weights_dir)
    described = read_description(folder)
    config = parse(ModelConfig, described["model"], source=str(folder / CONFIG))
    geometry = parse(Geometry, described["geometry"], source=str(folder / CONFIG))
    labels, shape = tuple(described["labels"]), geometry.model_shape
    system = system_of(config.kind)
    with torch.random.fork_rng(devices=[]):
        reads = {"text": _saved_text(folder, config, described["text_shape"])} if system.text else {}
        grid = {"geometry": geometry} if system.own_grid else {}
        model = builder_of(system)(config, shape, labels, None, pretrained=False, **reads, **grid)
    load_matching(model, read_state(folder / SAFE), source=str(folder / SAFE))
    return model.eval()


def read_description(folder: Path) -> dict[str, Any]:
    """Read the description of a saved model: ``model``, ``geometry``, ``labels``, ``text_shape``.

    Raises:
        UniferumError: the folder has no config of this format.
    """
    path = folder / CONFIG
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UniferumError(str(path), must="be the config of a saved model", cure=type(error).__name__) from None
    if not isinstance(described, dict) or described.get("uniferum_format") != FORMAT:
        raise UniferumError(str(path), must=f"be a saved model's config of format {FORMAT}")
    missing = [key for key in KEYS if key not in described]
    if missing:
        raise UniferumError(str(path), must=f"have the keys {', '.join(KEYS)}, but {', '.join(missing)} are absent")
    return described


def load_matching(model: Model, state: dict[str, Tensor], *, source: str) -> None:
    """Load a state dict whose names and shapes are exactly those of the model.

    Raises:
        UniferumError: a tensor is missing, unknown, or of another shape; the message has both shapes.
    """
    wanted = model.state_dict()
    for name in sorted(wanted.keys() | state.keys()):
        there, here = shape_text(state.get(name)), shape_text(wanted.get(name))
        if there != here:
            raise UniferumError(f"{source}: {name}", there, must=f"be as the model has it ({here})")
    model.load_state_dict(state)


def _described(model: Model, config: ModelConfig, geometry: Geometry, labels: tuple[str, ...]) -> dict[str, Any]:
    return {
        "uniferum_format": FORMAT,
        "uniferum_version": __version__,
        "model": config.model_dump(mode="json"),
        "geometry": geometry.model_dump(mode="json"),
        "labels": list(labels),
        "text_shape": asdict(_text(model).transformer.shape) if reads_text(config.kind) else None,
    }


def _text(model: Model) -> Text:
    """The text side of a model that has one (:class:`uniferum.systems.System`)."""
    return Text(cast(Transformer, model.transformer), cast(PromptReader, model.reader))


def _fill(folder: Path, model: Model, described: dict[str, Any], trained_on: str) -> None:
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    save_file(state, folder / SAFE, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(described, indent=1), encoding="utf-8")
    if reads_text(described["model"]["kind"]):
        _text(model).reader.tokenizer.save(str(folder / TOKENIZER))
    (folder / CARD).write_text(model_card(model, described, trained_on), encoding="utf-8")
    for path in [*folder.iterdir(), folder]:
        sync(path)


def _saved_text(folder: Path, config: ModelConfig, shape: dict[str, Any]) -> Text:
    path = folder / TOKENIZER
    if not path.is_file():
        raise UniferumError(str(path), must="be there", cure="a saved model has its tokenizer beside its weights")
    try:
        reader = PromptReader(Tokenizer.from_file(str(path)), config.text.max_tokens)
        transformer = Transformer(TransformerShape(**shape), config.text.layers)
    except Exception as error:  # noqa: BLE001  tokenizers raises nothing narrower
        raise UniferumError(str(folder), must="hold a readable tokenizer and text_shape", cure=str(error)) from None
    return Text(transformer, reader)


def model_card(model: Model, described: dict[str, Any], trained_on: str) -> str:
    """Write the README of a saved model: description, input, examples and limits of use."""
    config, geometry = described["model"], described["geometry"]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    shape = " x ".join(map(str, geometry["model_shape"]))
    crop = " x ".join(f"{side:g}" for side in geometry["crop_mm"])
    tokens = " x ".join(map(str, model.tokens_shape))
    system = system_of(config["kind"])
    sees = f"{tokens} visual tokens, " if system.masks else ""
    text = f"{sees}{config['text']['name']}, first {config['text']['layers']} layers"
    reads = text if system.text else f"one output for each of {len(described['labels'])} labels"
    words = Vocabulary.load().labels
    prompt = next((words[label].prompt for label in described["labels"] if label in words), EXAMPLE)
    return f"""---
license: apache-2.0
library_name: uniferum
tags: [medical-imaging, chest-ct, 3d, vision-language]
---

# {config["kind"]} ({config["encoder"]["name"]})

A chest-CT model of the paper "Unified Supervision for Vision-Language Modeling in 3D CT".
{f"Trained on {trained_on}." if trained_on else "What it was trained on was not recorded."}

| | |
|---|---|
| parameters | {parameters:,} |
| input | {shape} voxels, RAS+, from the centred {crop} mm; HU clipped to -1000..1000, HU / 2000 + 0.5 |
| reads | {reads} |
| preset | {config["preset"]} |

The probability of a finding, from a raw scan (NIfTI, MetaImage, NPZ or a folder of DICOM slices):

```python
import uniferum
answers, failed = uniferum.ask("this/folder", ["scan.nii.gz"], ["{prompt}"])
print(answers[["prompt", "probability", "flags"]])
```

The same from an array of voxels prepared as above, of shape (volumes, 1, {shape.replace(" x ", ", ")}):

```python
import torch
model = uniferum.from_pretrained("this/folder")
volume = torch.zeros(1, 1, {shape.replace(" x ", ", ")})  # intensities HU / 2000 + 0.5
print(model.predict(volume, ["{prompt}"]).probability)
```

Research only: not for diagnosis, not a medical device, not validated on any population. Scores are not calibrated.
Pretrained parts keep the licences of their owners.
"""
