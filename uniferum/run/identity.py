"""Two fingerprints of a run: one for training, one for evaluation.

The training fingerprint covers the config, the prompts, the content of the training and selection splits, and the
version of the code's results; a key without effect on the run (:mod:`uniferum.run.no_effect`) counts as its default.
The evaluation fingerprint adds the test splits: a changed test set only re-scores a
run. Scans that are left out of training (``data.on_wrong_hu``) are not covered. Store paths, threads, loader workers
and devices are in neither.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from uniferum.config import canonical_json, canonical_mapping, fingerprint, text_fingerprint
from uniferum.data.content import Content
from uniferum.data.prepared_cohort import PreparedCohort, left_out_line, refuse_flagged
from uniferum.data.reports import read_reports, reports_digest
from uniferum.errors import UniferumError, near_miss
from uniferum.model.pretrained import digest_of_weights
from uniferum.run.config import NODULE_COHORT, RunConfig
from uniferum.run.no_effect import has_effect, with_defaults, without_effect
from uniferum.training.config import NOT_IDENTITY

# A cohort's prepared store: a folder, or a URL that fsspec knows.
Stores = Mapping[str, Path | str]
Stamp = tuple[tuple[str, int, int], ...]
Opened = TypeVar("Opened", Content, PreparedCohort)
TEST_SPLIT, SELECTION_SPLIT, TRAINING_SPLIT = "test", "validation", "train"

RESULTS = 1
"""Version of the results: increased by hand when the same config and data give other weights than before (beyond
rounding). A hash of the sources would retrain all cells after renaming a variable.
``tests/uniferum/run/test_golden.py``
fails when the losses of a fixed run change and this number does not."""

# Keys of the model section that change how results are computed, but not the results (within rounding).
_MODEL_NOT_IDENTITY = {"gradient_checkpointing": True, "compile": True, "encoder": {"fast_depthwise", "channels_last"}}

# Keys that were added after runs had finished, with the value of the earlier behaviour: at that value they are in no
# fingerprint, so that finished runs stay valid.
_AS_BEFORE: dict[str, dict[str, Any]] = {
    "data": {"transforms": ()},
    "model": {"mask_prior": None, "ct_clip": None},
    "training": {"micro_batch_volumes": None, "tf32": "convolutions"},
    "augmentation": {"unit": "volume", "masks": "nearest", "resampling": "once"},
    "sampling": {"organ_share_of": "rows", "label_count": None},
    "optim": {"encoder_lr": None, "positive_weight": "none"},
}


def open_cohort(stores: Stores, cohort: str) -> PreparedCohort:
    """Open the prepared store of a cohort.

    Raises:
        UniferumError: no store is given for it, the store cannot be read, or it belongs to another cohort.
    """
    path = _path(stores, cohort)
    opened = _opened(str(path), _stamp(path)) if Path(path).is_dir() else PreparedCohort.open(path)
    return _of(cohort, opened, path)


def read_content(stores: Stores, cohort: str) -> Content | PreparedCohort:
    """Read the part of a cohort's store that fingerprints need; raises like :func:`open_cohort`."""
    path = _path(stores, cohort)
    content = _content_of(str(path), _stamp(path)) if Path(path).is_dir() else None
    return open_cohort(stores, cohort) if content is None else _of(cohort, content, path)


@lru_cache(maxsize=32)
def _opened(path: str, stamp: Stamp) -> PreparedCohort:
    """Open a local store, cached until its files change."""
    assert stamp is not None, "part of the cache key: a store that changes is read again"
    return PreparedCohort.open(path)


@lru_cache(maxsize=32)
def _content_of(path: str, stamp: Stamp) -> Content | None:
    """Like :func:`_opened`, for fingerprints only; watching a grid calls it once a second."""
    assert stamp is not None, "part of the cache key: a store that changes is read again"
    return Content.read(Path(path))


def _stamp(path: Path | str) -> Stamp:
    with os.scandir(path) as entries:
        files = [(entry.name, entry.stat()) for entry in entries if entry.is_file()]
    return tuple(sorted((name, stat.st_mtime_ns, stat.st_size) for name, stat in files))


def _path(stores: Stores, cohort: str) -> Path | str:
    if cohort not in stores:
        nodules = ", or set sampling.luna_factor=0 to train without nodules" if cohort == NODULE_COHORT else ""
        raise UniferumError("stores", cohort, must="have a path", cure=near_miss(cohort, stores) + nodules)
    return stores[cohort]


def _of(cohort: str, opened: Opened, path: Path | str) -> Opened:
    if opened.name != cohort:
        raise UniferumError(f"store {path}", opened.name, must=f"be that of cohort {cohort}")
    return opened


@dataclass(frozen=True)
class Fingerprints:
    """The training and the evaluation fingerprint of a run."""

    training: str
    evaluation: str


class Reading:
    """A snapshot of the stores: each is read once, and shared JSON is computed once, for any number of runs.

    Use it for one pass over a grid only: it does not notice a store that changes.
    """

    def __init__(self, stores: Stores) -> None:
        """Keep the paths; stores are read on first use."""
        self.stores = stores
        self._found: dict[str, Content | PreparedCohort] = {}
        self._texts: dict[tuple[Any, ...], str] = {}

    def fingerprints(self, config: RunConfig) -> Fingerprints:
        """Compute both fingerprints of a run; raises like :func:`fingerprints`."""
        return self._fingerprints(config, identity_of(config))

    def former(self, config: RunConfig) -> Fingerprints | None:
        """The fingerprints of a run whose keys without effect counted; None if they are those of :meth:`fingerprints`.

        Runs that finished before these keys were left out have them, and stay finished.
        """
        whole, idle = _whole(config), without_effect(config)
        if with_defaults(whole, idle) == whole:
            return None
        return self._fingerprints(config, _as_recorded(whole, idle))

    def of_run(self, config: RunConfig, training: object) -> Fingerprints:
        """Those fingerprints of a run, of today or :meth:`former`, whose training one is given; else those of today."""
        former = self.former(config)
        return former if former is not None and former.training == training else self.fingerprints(config)

    def _fingerprints(self, config: RunConfig, whole: Mapping[str, Any]) -> Fingerprints:
        training = self._training_text(config, whole)
        tests = canonical_mapping({name: self._text(name, TEST_SPLIT, config) for name in config.evaluate_on})
        evaluation = canonical_mapping({"training": training, "tests": tests})
        return Fingerprints(text_fingerprint(training), text_fingerprint(evaluation))

    def training_content(self, config: RunConfig) -> dict[str, Any]:
        """See :func:`training_content`."""
        trained = config.trained_stores
        return {
            "results": RESULTS,
            "config": identity_of(config),
            "train": {name: self._content(name, TRAINING_SPLIT, config) for name in trained},
            "select": {name: self._content(name, SELECTION_SPLIT, config) for name in config.selection_cohorts},
            "organs": _organ_prompts(map(self._of, trained)) if config.segmentation else {},
            **({"reports": self._reports(config)} if config.reads_reports else {}),
        }

    def _training_text(self, config: RunConfig, whole: Mapping[str, Any]) -> str:
        """Canonical JSON of :meth:`training_content`, with ``whole`` as the config's part."""
        trained = config.trained_stores
        return canonical_mapping(
            {
                "results": canonical_json(RESULTS),
                "config": canonical_json(whole),
                "train": canonical_mapping({name: self._text(name, TRAINING_SPLIT, config) for name in trained}),
                "select": canonical_mapping(
                    {name: self._text(name, SELECTION_SPLIT, config) for name in config.selection_cohorts}
                ),
                "organs": self._organs_text(trained) if config.segmentation else "{}",
                **({"reports": canonical_json(self._reports(config))} if config.reads_reports else {}),
            }
        )

    def cohort(self, cohort: str) -> Content | PreparedCohort:
        """Return the content of a cohort's store; raises like :func:`open_cohort`."""
        return self._of(cohort)

    def _of(self, cohort: str) -> Content | PreparedCohort:
        if cohort not in self._found:
            self._found[cohort] = read_content(self.stores, cohort)
        return self._found[cohort]

    def left_out(self, config: RunConfig) -> list[str]:
        """One sentence for each cohort with training scans that are left out; see ``data.on_wrong_hu``."""
        return [line for name in config.trained_stores if (line := left_out_line(self.as_run(name, config)))]

    def as_run(self, cohort: str, config: RunConfig) -> Content | PreparedCohort:
        """A cohort with the splits of the run, without the scans that are left out of training."""
        return self._of(cohort).for_training(config.data.on_wrong_hu, config.folds_of(cohort))

    def _content(self, cohort: str, split: str, config: RunConfig) -> dict[str, Any]:
        policy, folds = config.data.on_wrong_hu, config.folds_of(cohort)
        refuse_flagged(self._of(cohort).for_training("keep", folds), split, policy)
        return _content(self.as_run(cohort, config), split)

    def _text(self, cohort: str, split: str, config: RunConfig) -> str:
        key = (split, cohort, config.data.on_wrong_hu, config.folds_of(cohort))
        if key not in self._texts:
            self._texts[key] = canonical_json(self._content(cohort, split, config))
        return self._texts[key]

    def _reports(self, config: RunConfig) -> dict[str, str]:
        """Digest of the training reports of each cohort."""
        return {
            name: reports_digest(read_reports(self.stores[name]), self.as_run(name, config).scans_in(TRAINING_SPLIT))
            for name in config.training_cohorts
        }

    def _organs_text(self, trained: tuple[str, ...]) -> str:
        if ("organs", *trained) not in self._texts:
            self._texts["organs", *trained] = canonical_json(_organ_prompts(map(self._of, trained)))
        return self._texts["organs", *trained]


def fingerprints(config: RunConfig, stores: Stores) -> Fingerprints:
    """Compute both fingerprints.

    Raises:
        UniferumError: a store is missing or unreadable.
    """
    return Reading(stores).fingerprints(config)


def training_fingerprint(config: RunConfig, stores: Stores) -> str:
    """Compute the fingerprint of everything that the weights depend on.

    Raises:
        UniferumError: a store is missing or unreadable.
    """
    return fingerprint(training_content(config, stores))


def evaluation_fingerprint(config: RunConfig, stores: Stores) -> str:
    """Compute the fingerprint of the training and of the content of the test splits.

    Raises:
        UniferumError: a store is missing or unreadable.
    """
    return fingerprints(config, stores).evaluation


def identity_of(config: RunConfig) -> dict[str, Any]:
    """Return the part of a config that affects the weights; a key without effect has its default."""
    idle = without_effect(config)
    return _as_recorded(with_defaults(_whole(config), idle), idle)


def _whole(config: RunConfig) -> dict[str, Any]:
    kept = config.model_dump(mode="json", exclude={"name", "evaluate_on", "data", "sampling", "training", "model"})
    return {
        **kept,
        "select_on": list(config.selection_cohorts),
        "data": config.data.identity(),
        "sampling": config.sampling.identity(),
        "training": config.training.model_dump(mode="json", exclude=set(NOT_IDENTITY)),
        "model": _model(config),
    }


def _model(config: RunConfig) -> dict[str, Any]:
    """The model's section; a file of weights counts by its content, so that it may be moved, and not changed."""
    model = config.model.model_dump(mode="json", exclude=_MODEL_NOT_IDENTITY)
    path = config.model.ct_clip.checkpoint
    if path is not None and (digest := digest_of_weights(Path(path))) is not None:
        model["ct_clip"]["checkpoint"] = digest
    return model


def _as_recorded(whole: dict[str, Any], idle: frozenset[str]) -> dict[str, Any]:
    """Leave out the keys of ``_AS_BEFORE`` at their earlier behaviour or without effect."""
    for section, keys in _AS_BEFORE.items():
        for key, as_before in keys.items():
            if whole[section][key] == as_before or not has_effect(f"{section}.{key}", idle):
                del whole[section][key]
    return whole


def training_content(config: RunConfig, stores: Stores) -> dict[str, Any]:
    """Return the content of the training fingerprint; a run stores it, to show later what changed.

    Raises:
        UniferumError: a store is missing or unreadable.
    """
    return Reading(stores).training_content(config)


def _content(cohort: Content | PreparedCohort, split: str) -> dict[str, Any]:
    words = cohort.vocabulary
    prompts = {label: words.labels[label].prompt for label in words.of_cohort(cohort.name)}
    return {"digest": cohort.digest(split), "prompts": prompts}


def _organ_prompts(cohorts: Iterable[Content | PreparedCohort]) -> dict[str, str]:
    return {name: words.prompt for cohort in cohorts for name, words in cohort.vocabulary.structures.items()}
