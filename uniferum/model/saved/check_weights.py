"""Check pretrained weights before a grid starts: tensors, tokenizer, checksum and a reference forward pass.

The forward pass uses one fixed prompt (text) or one fixed volume (image), in float32 on the CPU; its numbers agree on
all machines to about four digits. Text is also compared with the transformers library. Local weights need no network.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from uniferum.data.vocabulary import Vocabulary
from uniferum.errors import UniferumError
from uniferum.model.baselines.slices import slice_network
from uniferum.model.config import EncoderConfig, ModelConfig, TextConfig, slice_weights
from uniferum.model.encoder import build_encoder
from uniferum.model.pretrained import (
    MINILM,
    OFFLINE,
    find_pretrained,
    image_hub_id,
    in_package,
    is_installed,
    weights_file,
)
from uniferum.model.text import Text, build_text, read_shape, refuse_other_model

PROMPT = "Diagnose the presence of pleural effusion around the lungs"
"""Prompt of the reference forward pass (a phrase printed in paper 3.3)."""
SIDE = 64
"""Voxels per side of the reference volume, a ramp from 0 to 1 along each axis."""
NUMBERS = 4
"""Number of values of the forward pass that are shown."""
TOLERANCE = 1e-4
"""Largest difference from transformers, relative to the largest value; four float32 layers differ by 4e-7 (minilm)."""
CHUNK = 1 << 20


@dataclass(frozen=True)
class WeightsCheck:
    """Result of checking one name; ``fault`` is one line, empty if everything loads."""

    name: str
    kind: str
    path: str = ""
    loaded: str = ""
    tokens: str = ""
    sha256: str = ""
    numbers: tuple[float, ...] = ()
    """Values of the forward pass. Text: the first of [CLS]; image: mean, deviation, minimum, maximum of features."""
    difference: float | None = None
    """Difference from the transformers library, relative to its largest value."""
    fault: str = ""


def check_name(name: str, layers: int = 4, weights_dir: Path | None = None) -> WeightsCheck:
    """Check a hub id, a folder, ``minilm``, or the name of an image encoder of timm-3d."""
    image = name.removeprefix("timm/").split(".")[0]
    if not Path(name).is_dir() and re.fullmatch(r"(tf_)?efficientnet\w*", image):
        offline = image in OFFLINE and is_installed(OFFLINE[image][0])
        return check_image(EncoderConfig(name=image, weights="offline" if offline else "imagenet"), weights_dir)
    return check_text(TextConfig(name=name, layers=layers), weights_dir)


def check_text(config: TextConfig, weights_dir: Path | None = None) -> WeightsCheck:
    """Check the text encoder of a config."""
    check = WeightsCheck(config.name, "text")
    if config.name == "tiny":
        return replace(check, loaded="drawn at random, nothing to load")
    try:
        return _checked_text(check, config, weights_dir)
    except UniferumError as error:
        return replace(check, fault=str(error))


def check_image(config: EncoderConfig, weights_dir: Path | None = None) -> WeightsCheck:
    """Check the image encoder of a config: its 2D weights, inflated."""
    check = WeightsCheck(config.name, "image")
    if config.weights == "none":
        return replace(check, loaded="drawn at random, nothing to load")
    try:
        return _checked_image(check, config, weights_dir)
    except UniferumError as error:
        return replace(check, fault=str(error))


def check_slices(config: ModelConfig, weights_dir: Path | None = None) -> WeightsCheck:
    """Check the 2D network over slices of a system that has one."""
    check = WeightsCheck(slice_weights(config), "image")
    if config.encoder.weights == "none":
        return replace(check, loaded="drawn at random, nothing to load")
    try:
        network = slice_network(config, weights_dir, pretrained=True).eval()
        file = weights_file(find_pretrained(slice_weights(config), weights_dir))
    except UniferumError as error:
        return replace(check, fault=str(error))
    ramp = torch.linspace(0, 1, SIDE)
    with torch.no_grad():
        features = network(((ramp[:, None] + ramp[None, :]) / 2).expand(1, 3, SIDE, SIDE))
    loaded = f"{len(network.state_dict())} tensors"
    return replace(check, path=str(file), loaded=loaded, sha256=checksum(file), numbers=_of_features(features))


def _checked_text(check: WeightsCheck, config: TextConfig, weights_dir: Path | None) -> WeightsCheck:
    folder = in_package(*MINILM) if config.name == "minilm" else find_pretrained(config.name, weights_dir)
    refuse_other_model(config.name, folder)
    config = config.replace(name=str(folder))
    text = build_text(config)
    _, layers = read_shape(folder)
    check = replace(
        check,
        path=str(folder),
        loaded=f"{config.layers} of {layers} layers, {len(text.transformer.state_dict())} tensors",
        tokens=f"{text.reader.size} of {text.transformer.shape.words} rows",
        sha256=checksum(weights_file(folder)),
    )
    _refuse_tokens(text, folder)
    ours = _answer(text)
    check = replace(check, numbers=_first(ours))
    theirs = _transformers(folder, config.layers)
    difference = float((ours - theirs).abs().max() / theirs.abs().max()) if theirs.shape == ours.shape else float("inf")
    check = replace(check, difference=difference)
    if difference <= TOLERANCE:
        return check
    return replace(check, fault=f"{folder}: its forward pass differs from transformers' by {difference:.1e}")


def _refuse_tokens(text: Text, folder: Path) -> None:
    """Refuse a tokenizer without BERT's special tokens, with unknown words, or with too long prompts."""
    words = Vocabulary.load()
    text.reader.read([one.prompt for one in (*words.labels.values(), *words.structures.values())])
    tokens = text.reader.tokenizer.encode(PROMPT).tokens
    if tokens[:1] != ["[CLS]"] or tokens[-1:] != ["[SEP]"] or "[UNK]" in tokens:
        raise UniferumError(
            f"{folder}: tokenizer",
            " ".join(tokens),
            must="put [CLS] and [SEP] around a prompt and know its words",
            cure="is it the tokenizer of this model?",
        )


def _checked_image(check: WeightsCheck, config: EncoderConfig, weights_dir: Path | None) -> WeightsCheck:
    if config.weights == "offline" and config.name in OFFLINE:
        file = in_package(*OFFLINE[config.name])
    else:
        file = weights_file(find_pretrained(image_hub_id(config.name), weights_dir))
    encoder = build_encoder(config, weights_dir).eval()
    ramp = torch.linspace(0, 1, SIDE)
    volume = (ramp[:, None, None] + ramp[None, :, None] + ramp[None, None, :])[None, None] / 3
    with torch.no_grad():
        features = encoder(volume)
    return replace(
        check,
        path=str(file),
        loaded=f"{len(encoder.state_dict())} tensors, inflated",
        sha256=checksum(file),
        numbers=_of_features(features),
    )


def _of_features(features: Tensor) -> tuple[float, ...]:
    return _first(torch.stack([features.mean(), features.std(), features.amin(), features.amax()]))


def _answer(text: Text) -> Tensor:
    """Hidden states of the prompt's tokens after the layers."""
    read = text.reader.read([PROMPT])
    with torch.no_grad():
        return text.transformer.eval().encode_text(read.ids, read.visible)[0]


def _transformers(folder: Path, layers: int) -> Tensor:
    """The same states from the model and tokenizer of the transformers library."""
    from transformers import AutoModel, AutoTokenizer

    with _quiet():
        try:
            model = AutoModel.from_pretrained(
                str(folder), num_hidden_layers=layers, local_files_only=True, dtype=torch.float32
            )
            tokens = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)(PROMPT, return_tensors="pt")
        except (OSError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:120]
            raise UniferumError(str(folder), must="load in transformers too", cure=reason) from None
        with torch.no_grad():
            return model.eval()(**tokens).last_hidden_state[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings of transformers about unused tensors: further layers, heads."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        logging.enable_progress_bar()


def _first(values: Tensor) -> tuple[float, ...]:
    return tuple(round(float(value), 5) for value in values.flatten()[:NUMBERS])


def checksum(file: Path) -> str:
    """Return the SHA-256 of a file; a file of the hub's cache must match its name.

    Raises:
        UniferumError: it does not match, so the download is damaged.
    """
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while part := opened.read(CHUNK):
            digest.update(part)
    said = file.resolve().name
    if re.fullmatch(r"[0-9a-f]{64}", said) and said != digest.hexdigest():
        raise UniferumError(str(file), must="have the checksum of the hub", cure="delete it and download it again")
    return digest.hexdigest()
