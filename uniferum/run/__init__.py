"""One run from config to metrics: RunConfig, train_run, evaluate_run and the two fingerprints.

Names are imported on first use, so that reading a RunConfig does not load torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uniferum.run.config import RunConfig
    from uniferum.run.evaluate import evaluate_run
    from uniferum.run.identity import Stores, evaluation_fingerprint, training_fingerprint
    from uniferum.run.result import RunResult, read_result
    from uniferum.run.train import train_run

__all__ = [
    "RunConfig",
    "RunResult",
    "Stores",
    "evaluate_run",
    "evaluation_fingerprint",
    "read_result",
    "train_run",
    "training_fingerprint",
]

_PLACES = {
    "RunConfig": "config",
    "RunResult": "result",
    "Stores": "identity",
    "evaluate_run": "evaluate",
    "evaluation_fingerprint": "identity",
    "read_result": "result",
    "train_run": "train",
    "training_fingerprint": "identity",
}


def __getattr__(name: str) -> Any:
    if name == "ask":  # the module, not its function of the same name
        return import_module(f"{__name__}.ask")
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
