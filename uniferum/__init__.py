"""Unified supervision for vision-language modelling in 3D computed tomography.

The names below are imported on first use, so that ``import uniferum`` is fast and loads no torch::

    import uniferum

    config = uniferum.RunConfig.model_validate({"name": "first", "train_on": ["CTRATE"], "evaluate_on": ["CTRATE"]})
    uniferum.train_run(config, {"CTRATE": "stores/CTRATE"}, "runs/first")
    answers, failed = uniferum.ask("runs/first", ["scan.nii.gz"], ["Diagnose the presence of emphysema in the lungs"])

**Rooms and files.** Each imports only those below it; ``report`` and ``run`` do not know each other.

    report/         tables, figures, verdicts and a page from recorded cells; the published values
    run/            one run from its config to its metrics; questions to a trained model
    training/       loss, optimizer, checkpoints, the training loop
    evaluation/     predictions, metrics with confidence intervals, mask scores
    model/          encoder, text layers, heads; the compared systems; saved models
    data/           vocabulary, cohorts, phantoms, tasks, sampling, batches
    preprocessing/  raw scans to prepared volumes, and the store that holds them
    run_files       paths of the files in a run's folder
    atomic          atomic file writes
    systems         the compared systems: name, title, builder and abilities of each
    config          config sections: frozen, strict, read from YAML, with a stable fingerprint
    value_labels    short texts for the values of a run's keys, as in the names of cells
    errors          the error for wrong user input
    version         the version of this software
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from uniferum.version import __version__

if TYPE_CHECKING:
    from uniferum.model.saved.hub import from_pretrained
    from uniferum.preprocessing.pipeline import prepare
    from uniferum.run.ask import ask
    from uniferum.run.config import RunConfig
    from uniferum.run.evaluate import evaluate_run
    from uniferum.run.train import train_run

__all__ = ["RunConfig", "__version__", "ask", "evaluate_run", "from_pretrained", "prepare", "train_run"]

_MODULES = {
    "RunConfig": "uniferum.run.config",
    "ask": "uniferum.run.ask",
    "evaluate_run": "uniferum.run.evaluate",
    "from_pretrained": "uniferum.model.saved.hub",
    "prepare": "uniferum.preprocessing.pipeline",
    "train_run": "uniferum.run.train",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
