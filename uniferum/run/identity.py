"""Two fingerprints of a run: one for training, one for evaluation.

The training fingerprint covers the config, the prompts, the content of the training and selection splits, and the
version of the code's results; a key without effect on the run (:mod:`uniferum.run.no_effect`) counts as its default.
The evaluation fingerprint adds the test splits, and the section ``evaluation`` with its label files where it is not at
its defaults: a change there only re-scores a run. Scans that are left out of training (``data.on_wrong_hu``) are not
covered. Store paths, threads, loader workers and devices are in neither.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniferum.config import canonical_json, canonical_mapping, fingerprint, text_fingerprint
from uniferum.data.content import Content
from uniferum.data.prepared_cohort import PreparedCohort, left_out_line, refuse_flagged
from uniferum.data.reports import read_reports, reports_digest
from uniferum.errors import UniferumError, near_miss
from uniferum.run.config import RunConfig
from uniferum.run.identity_keys import as_recorded, identity_of, scoring_keys, whole_keys, with_label_files
from uniferum.run.no_effect import with_defaults, without_effect
from uniferum.run.stores import SELECTION_SPLIT, TEST_SPLIT, TRAINING_SPLIT, Stores, read_content

if TYPE_CHECKING:
    from uniferum.data.label_sets import LabelSet

RESULTS = 1
"""Version of the results: increased by hand when the same config and data give other weights than before (beyond
rounding). A hash of the sources would retrain all cells after renaming a variable.
``tests/uniferum/run/test_golden.py``
fails when the losses of a fixed run change and this number does not."""


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
        self._sets: dict[tuple[Any, ...], LabelSet] = {}

    def fingerprints(self, config: RunConfig) -> Fingerprints:
        """Compute both fingerprints of a run; raises like :func:`fingerprints`."""
        return self._fingerprints(config, identity_of(config))

    def former(self, config: RunConfig) -> Fingerprints | None:
        """The fingerprints of a run whose keys without effect counted; None if they are those of :meth:`fingerprints`.

        Runs that finished before these keys were left out have them, and stay finished.
        """
        whole, idle = whole_keys(config), without_effect(config)
        if with_defaults(whole, idle) == whole:
            return None
        return self._fingerprints(config, as_recorded(whole, idle))

    def of_run(self, config: RunConfig, training: object) -> Fingerprints:
        """Those fingerprints of a run, of today or :meth:`former`, whose training one is given; else those of today."""
        former = self.former(config)
        return former if former is not None and former.training == training else self.fingerprints(config)

    def _fingerprints(self, config: RunConfig, whole: Mapping[str, Any]) -> Fingerprints:
        training = self._training_text(config, whole)
        tests = canonical_mapping({name: self._text(name, TEST_SPLIT, config) for name in config.evaluate_on})
        scoring = self.scoring(config)
        own = {"evaluation": canonical_json(scoring)} if scoring else {}
        evaluation = canonical_mapping({"training": training, "tests": tests, **own})
        return Fingerprints(text_fingerprint(training), text_fingerprint(evaluation))

    def scoring(self, config: RunConfig) -> dict[str, Any]:
        """The part of the section ``evaluation`` that affects the scores, with digests of label files; often empty.

        Raises:
            UniferumError: a label file cannot be read, or is of a cohort without a store.
        """
        labels: dict[str, dict[str, str]] = {}
        for cohort, name, path in self._files(config):
            labels.setdefault(cohort, {})[name] = self._file_digest(path, f"evaluation.labels.{cohort}.{name}")
        return with_label_files(scoring_keys(config), labels)

    def label_sets(self, config: RunConfig) -> "list[LabelSet]":
        """Read the label files of the run's test cohorts; each is read once.

        Raises:
            UniferumError: see :func:`uniferum.data.label_sets.read_label_set`.
        """
        return [self._label_set(self.as_run(cohort, config), name, path) for cohort, name, path in self._files(config)]

    def _files(self, config: RunConfig) -> Iterator[tuple[str, str, Path]]:
        return tested_label_files(config, self.stores)

    def _label_set(self, cohort: Content | PreparedCohort, name: str, path: Path) -> "LabelSet":
        from uniferum.data.label_sets import read_label_set

        key = (id(cohort), name, str(path))  # views of a cohort live as long as the snapshot
        if key not in self._sets:
            self._sets[key] = read_label_set(cohort, name, path)
        return self._sets[key]

    def _file_digest(self, path: Path, where: str) -> str:
        key = ("file", str(path))
        if key not in self._texts:
            from uniferum.data.label_sets import file_digest

            self._texts[key] = file_digest(path, where)
        return self._texts[key]

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
        seen = self._of(cohort).for_training(config.data.on_wrong_hu, config.folds_of(cohort))
        return seen.with_further_labels() if config.all_labels_of(cohort) else seen

    def _content(self, cohort: str, split: str, config: RunConfig) -> dict[str, Any]:
        policy, folds = config.data.on_wrong_hu, config.folds_of(cohort)
        refuse_flagged(self._of(cohort).for_training("keep", folds), split, policy)
        return _content(self.as_run(cohort, config), split)

    def _text(self, cohort: str, split: str, config: RunConfig) -> str:
        key = (split, cohort, config.data.on_wrong_hu, config.folds_of(cohort), config.all_labels_of(cohort))
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


def tested_label_files(config: RunConfig, stores: Stores) -> Iterator[tuple[str, str, Path]]:
    """Cohort, name and path of each label file of a test cohort of the run.

    Raises:
        UniferumError: a file is of a cohort without a store.
    """
    for cohort, files in config.evaluation.labels.items():
        if cohort not in stores:
            raise UniferumError(
                "evaluation.labels", cohort, must="be a cohort with a store", cure=near_miss(cohort, stores)
            )
        if cohort in config.evaluate_on:
            yield from ((cohort, name, path) for name, path in files.items())


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
