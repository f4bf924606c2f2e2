"""One run from config to metrics: RunConfig, train_run, evaluate_run and the two fingerprints.

Names are imported on first use, so that reading a RunConfig does not load torch.

Files:

    ask            ask a trained model about raw scans
    build          build the parts of a run from a config and stores
    config         RunConfig: the complete config of one run
    evaluate       score a trained run
    identity       two fingerprints of a run: one for training, one for evaluation
    identity_keys  the part of a config that a run's fingerprints cover
    input_grid     the input of a run: stored level, grid, and the grid of the system's own
    masks          predict masks of prepared scans for display
    no_effect      keys without effect on the weights of a run, because of its other keys
    presets        the presets `paper` and `released`
    result         read the record of a finished run (`result.json`), and describe the environment of a run
    rows           count the rows of a run before it starts, and find labels that cannot be scored
    scans          find the scans in the paths given to `predict`
    score_masks    score the masks of a run that is trained with `SEG`, and summarise them for its record
    scored_tasks   the test tasks: what is predicted, and the targets that it is compared with
    stores         open the prepared stores of a run
    train          train one run and score it
    trained_rows   count the training rows of a run for its record
    validation     predict the validation splits with the best weights, for thresholds
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uniferum.run.config import RunConfig
    from uniferum.run.evaluate import evaluate_run
    from uniferum.run.identity import evaluation_fingerprint, training_fingerprint
    from uniferum.run.result import RunResult
    from uniferum.run.train import train_run

__all__ = [
    "RunConfig",
    "RunResult",
    "evaluate_run",
    "evaluation_fingerprint",
    "train_run",
    "training_fingerprint",
]

_MODULES = {
    "RunConfig": "config",
    "RunResult": "result",
    "evaluate_run": "evaluate",
    "evaluation_fingerprint": "identity",
    "train_run": "train",
    "training_fingerprint": "identity",
}


def __getattr__(name: str) -> Any:
    if name == "ask":  # the module, not its function of the same name
        return import_module(f"{__name__}.ask")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
