"""The error for continuing a store with other settings than it was begun with."""

import json
import shlex
from pathlib import Path
from typing import Any

from uniferum.errors import UniferumError
from uniferum.preprocessing.pipeline import PreparationConfig


def other_settings(path: str | Path, existing: PreparationConfig, requested: PreparationConfig) -> UniferumError:
    """Return an error that names the differences, and the options that continue the store."""
    old, new = existing.model_dump(mode="json"), requested.model_dump(mode="json")
    differing = [key for key in old if old[key] != new[key]]
    differences = "; ".join(f"{key} {_flow(old[key])}, asked for {_flow(new[key])}" for key in differing)
    settings = (f"{key}={_flow(old[key])}" for key in differing)
    options = " ".join(f"--set {shlex.quote(text) if ' ' in text else text}" for text in settings)
    cure = f"it has {differences}: continue it with {options}, or give another folder to prepare the cohort again"
    return UniferumError(f"{path}/store.json", must="have been prepared by the same settings", cure=cure)


def _flow(value: Any) -> str:
    """A setting in the form of ``--set``."""
    if isinstance(value, list):
        return f"[{','.join(map(_flow, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(one)}" for key, one in value.items()) + "}"
    return value if isinstance(value, str) else json.dumps(value)
