"""What a run is, twice: by what its weights depend on, and by what it is tested on.

The training fingerprint covers the config, the prompts, the training and selection splits' content, and the version of
the code's results; the evaluation fingerprint adds the test splits. A changed test set re-scores a run and never
retrains it. Store paths, threads, loader workers and devices are in neither.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from uniferum.config import fingerprint
from uniferum.data.prepared import PreparedCohort
from uniferum.errors import UniferumError, near_miss
from uniferum.run.config import NODULE_COHORT, RunConfig
from uniferum.training.config import NOT_IDENTITY

# A cohort's prepared store: a folder, or a URL that fsspec knows.
Stores = Mapping[str, Path | str]
TEST_SPLIT, SELECTION_SPLIT, TRAINING_SPLIT = "test", "validation", "train"

RESULTS = 1
"""The code's own version of what changes results: raised by hand whenever the same config and data train to other
weights than before (beyond rounding). A hash of the sources would train two weeks of cells anew for a renamed variable;
``tests/uniferum/run/test_golden.py`` fails when the losses of a fixed run move and this number does not."""

# Keys of the model section that say how, not what, is computed; results agree within rounding.
_MODEL_NOT_IDENTITY = {"gradient_checkpointing": True, "compile": True, "encoder": {"fast_depthwise", "channels_last"}}


def open_cohort(stores: Stores, cohort: str) -> PreparedCohort:
    """Open the prepared store of a cohort.

    Raises:
        UniferumError: no store is given for it, the store cannot be read, or it is another cohort's.
    """
    if cohort not in stores:
        nodules = ", or set sampling.luna_factor=0 to train without nodules" if cohort == NODULE_COHORT else ""
        raise UniferumError("stores", cohort, must="have a path", cure=near_miss(cohort, stores) + nodules)
    path = str(stores[cohort])
    opened = _opened(path, _stamp(path)) if Path(path).is_dir() else PreparedCohort.open(stores[cohort])
    if opened.name != cohort:
        raise UniferumError(f"store {stores[cohort]}", opened.name, must=f"be that of cohort {cohort}")
    return opened


@lru_cache(maxsize=32)
def _opened(path: str, stamp: tuple[tuple[str, int, int], ...]) -> PreparedCohort:
    """A local store as it is now: a plan asks for each store once a cell, and reads it once in all."""
    assert stamp is not None, "part of the key: a store that changes is read again"
    return PreparedCohort.open(path)


def _stamp(path: str) -> tuple[tuple[str, int, int], ...]:
    files = sorted(entry for entry in Path(path).iterdir() if entry.is_file())
    return tuple((entry.name, entry.stat().st_mtime_ns, entry.stat().st_size) for entry in files)


@dataclass(frozen=True)
class Fingerprints:
    """What a run is: by what its weights depend on, and by that and what it is tested on."""

    training: str
    evaluation: str


def fingerprints(config: RunConfig, stores: Stores) -> Fingerprints:
    """Both fingerprints, the stores' tables read once.

    Raises:
        UniferumError: a store is missing or unreadable.
    """
    training = training_content(config, stores)
    tests = {cohort: _content(open_cohort(stores, cohort), TEST_SPLIT) for cohort in sorted(config.evaluate_on)}
    return Fingerprints(fingerprint(training), fingerprint({"training": training, "tests": tests}))


def training_fingerprint(config: RunConfig, stores: Stores) -> str:
    """The fingerprint of everything that the weights depend on.

    Raises:
        UniferumError: a store is missing or unreadable.
    """
    return fingerprint(training_content(config, stores))


def evaluation_fingerprint(config: RunConfig, stores: Stores) -> str:
    """The fingerprint of the training and of the content of the test splits that the run is scored on.

    Raises:
        UniferumError: a store is missing or unreadable.
    """
    return fingerprints(config, stores).evaluation


def identity_of(config: RunConfig) -> dict[str, Any]:
    """The part of a config that changes the weights."""
    kept = config.model_dump(mode="json", exclude={"name", "evaluate_on", "data", "training", "model"})
    return {
        **kept,
        "select_on": list(config.selection_cohorts),
        "data": config.data.identity(),
        "training": config.training.model_dump(mode="json", exclude=set(NOT_IDENTITY)),
        "model": config.model.model_dump(mode="json", exclude=_MODEL_NOT_IDENTITY),
    }


def training_content(config: RunConfig, stores: Stores) -> dict[str, Any]:
    """What the training fingerprint is made of; a run keeps it beside its config, to name later what changed.

    Raises:
        UniferumError: a store is missing or unreadable.
    """
    trained = {name: open_cohort(stores, name) for name in config.trained_stores}
    return {
        "results": RESULTS,
        "config": identity_of(config),
        "train": {name: _content(cohort, TRAINING_SPLIT) for name, cohort in trained.items()},
        "select": {c: _content(open_cohort(stores, c), SELECTION_SPLIT) for c in config.selection_cohorts},
        "organs": _organ_prompts(trained.values()) if config.segmentation else {},
    }


def _content(cohort: PreparedCohort, split: str) -> dict[str, Any]:
    words = cohort.vocabulary
    prompts = {label: words.labels[label].prompt for label in words.of_cohort(cohort.name)}
    return {"digest": cohort.digest(split), "prompts": prompts}


def _organ_prompts(cohorts: Iterable[PreparedCohort]) -> dict[str, str]:
    return {name: words.prompt for cohort in cohorts for name, words in cohort.vocabulary.structures.items()}
