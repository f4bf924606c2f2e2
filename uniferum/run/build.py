"""Build the parts of a run from a config and stores: cohorts, task tables, model, batches."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from uniferum.data.label_sets import LabelSet, read_label_set
from uniferum.data.loading.batch import Batch
from uniferum.data.loading.batches import EvaluationBatches, TrainingBatches
from uniferum.data.prepared_cohort import PreparedCohort, left_out_line, refuse_flagged
from uniferum.data.reports import report_table
from uniferum.data.sampling import shuffled, training_table
from uniferum.data.settings import MissingMasks
from uniferum.data.splits import refuse_folds, refuse_splits
from uniferum.data.tasks import evaluation_tasks, joined, selection_tasks
from uniferum.errors import UniferumError
from uniferum.evaluation.config import STRENGTHS
from uniferum.evaluation.predict import Also, predict, predict_tasks
from uniferum.model.base import Model
from uniferum.model.registry import build_model
from uniferum.preprocessing.flags import WRONG_HU
from uniferum.preprocessing.geometry import Geometry
from uniferum.run.config import RunConfig
from uniferum.run.identity import tested_label_files
from uniferum.run.rows import splits_read
from uniferum.run.stores import SELECTION_SPLIT, TEST_SPLIT, TRAINING_SPLIT, Stores, open_cohort
from uniferum.systems import system_of
from uniferum.training.parallel import Workers
from uniferum.training.precision import Compute


def _nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Workbench:
    """The opened stores and devices of one run, and builders of its tables, model and batches."""

    config: RunConfig
    cohorts: Mapping[str, PreparedCohort]
    compute: Compute
    workers: Workers
    label_sets: tuple[LabelSet, ...] = ()
    """Label files beside the labels of the test cohorts (``evaluation.labels``)."""
    between: Callable[[], None] = _nothing
    """Called between the batches of a prediction, which can take longer than a training step: sends a heartbeat, and
    can stop the run."""

    @property
    def preparation(self) -> dict[str, Any]:
        """The preparation of the scans of the first training cohort."""
        return self.cohorts[self.config.training_cohorts[0]].store.config.model_dump(mode="json")

    def left_out_lines(self) -> list[str]:
        """One sentence for each training cohort with scans that are left out."""
        return [line for name in self.config.trained_stores if (line := left_out_line(self.cohorts[name]))]

    def preset_lines(self) -> list[str]:
        """One sentence per other preset than the model's by which stores were prepared, so that presets are mixed."""
        own = self.config.model.preset
        others: dict[str, list[str]] = {}
        for name, cohort in self.cohorts.items():
            if cohort.store.config.preset != own:
                others.setdefault(cohort.store.config.preset, []).append(name)
        return [
            f"model.preset is {own}, but the stores of {', '.join(names)} were prepared by preset {preset}; "
            f"uniferum data prepare --set preset={own} prepares by the same"
            for preset, names in others.items()
        ]

    def training_table(self, missing_masks: MissingMasks | None = None) -> pd.DataFrame:
        """Make the rows to train on.

        Args:
            missing_masks: replaces the run's own policy, where rows are only counted.

        Raises:
            UniferumError: there are no rows, or ``sampling.missing_masks`` refuses the run.
        """
        config = self.config
        if config.reads_reports:
            return report_table(self.cohorts, config.training_cohorts)
        sampling = config.sampling if missing_masks is None else config.sampling.replace(missing_masks=missing_masks)
        return training_table(self.cohorts, config.train_on, sampling, config.seed, shuffle=self._shuffled)

    def selection_table(self) -> pd.DataFrame:
        """Make the validation tasks that select the best checkpoint."""
        tasks = selection_tasks(self.cohorts, self.config.selection_cohorts, self.config.sampling.label_count)
        return shuffled(tasks, self.config.seed, SELECTION_SPLIT) if self._shuffled else tasks

    @property
    def _shuffled(self) -> bool:
        """Whether the run is a control that trains and selects on labels exchanged between scans."""
        return system_of(self.config.model.kind).shuffled

    def test_table(self) -> pd.DataFrame:
        """Make the test tasks of the run."""
        return joined(evaluation_tasks(self.cohorts[name], TEST_SPLIT) for name in self.config.evaluate_on)

    def model(self, labels: Sequence[str], *, pretrained: bool = True) -> Model:
        """Build the model with its initial weights; ``labels`` are the outputs of models with one output per label.

        ``pretrained`` is false where a checkpoint's weights will be loaded, so that no others are needed.
        """
        config = self.config
        model = build_model(config.model, config.geometry, tuple(labels), config.seed, pretrained=pretrained)
        return model.to(self.compute.device)

    def training_batches(self, table: pd.DataFrame, model: Model) -> TrainingBatches:
        """Make this worker's micro-batches of all steps."""
        config = self.config
        return TrainingBatches(
            table,
            self.cohorts,
            config.data,
            geometry=config.geometry,
            augmentation=config.augmentation,
            tokens_shape=model.tokens_shape,
            patch=model.patch,
            batch=config.training.batch,
            micro_batch=config.training.micro,
            by_volumes=config.training.by_volumes,
            seed=config.seed,
            rank=self.workers.rank,
            world=self.workers.size,
        )

    def predictions(
        self, model: Model, table: pd.DataFrame, outputs: Iterable[str], *, also: Also | None = None
    ) -> pd.DataFrame:
        """Predict the tasks of a table; workers share the volumes, and each gets the complete result.

        ``also`` is called after each batch of this worker (:func:`uniferum.evaluation.predict.predict`).
        """
        return predict_tasks(table, self.logits(model, table, also=also), set(outputs))

    def logits(self, model: Model, table: pd.DataFrame, *, copy: int = 0, also: Also | None = None) -> pd.DataFrame:
        """Predict the logits of a table's tasks, with the columns ``task_id`` and ``score``.

        Args:
            model: the model.
            table: classification tasks.
            copy: number of the augmented pass over the volumes (``evaluation.augmentations``); 0: plain volumes.
            also: see :meth:`predictions`.
        """
        batches = EvaluationBatches(
            table,
            self.cohorts,
            self.config.data,
            geometry=self.config.geometry,
            tokens_shape=model.tokens_shape,
            patch=model.patch,
            augmentation=STRENGTHS[self.config.evaluation.strength] if copy else None,
            seed=self.config.seed,
            copy=copy,
            rank=self.workers.rank,
            world=self.workers.size,
        )
        device, autocast = self.compute.device, self.compute.autocast
        scores = predict(model, self._interruptible(batches), device=device, autocast=autocast, also=also)
        return pd.concat(self.workers.gather(scores), ignore_index=True)

    def _interruptible(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        for batch in batches:
            self.between()
            yield batch


def open_workbench(config: RunConfig, stores: Stores, compute: Compute, *, only_scores: bool = False) -> Workbench:
    """Open every store that the run reads, check that it has the run's geometry, and set TF32.

    Args:
        config: the run.
        stores: the prepared store of every cohort that it names.
        compute: device and precision.
        only_scores: no training, so only the test splits need scans.

    Raises:
        UniferumError: a store is missing, has another geometry, lacks a split or the level that is read, or is refused
            by ``data.on_wrong_hu``.
    """
    compute.use()
    names = dict.fromkeys([*config.trained_stores, *config.selection_cohorts, *config.evaluate_on])
    cohorts = {name: open_cohort(stores, name) for name in names}
    needed = splits_read(config, only_scores=only_scores)
    for name, cohort in cohorts.items():
        folds = config.folds_of(name)
        if folds is not None:
            refuse_folds(cohort, folds)
        refuse_splits(cohort.for_training("keep", folds), needed[name])
        if not cohort.geometry.serves(config.geometry, config.data.level):
            raise UniferumError(
                f"store of {name}: geometry",
                _grid(cohort.geometry),
                must=f"be the run's ({_grid(config.geometry)})",
                cure="prepare the cohort again, or set the run's geometry",
            )
        _refuse_without_level(name, cohort, config.data.level)
    seen = {name: _as_run(config, cohort) for name, cohort in cohorts.items()}
    label_sets = tuple(
        read_label_set(seen[cohort], name, path) for cohort, name, path in tested_label_files(config, stores)
    )
    return Workbench(config, seen, compute, Workers.current(), label_sets)


def _refuse_without_level(name: str, cohort: PreparedCohort, level: str) -> None:
    """Refuse a store without the level that is read, before the first batch."""
    held = cohort.store.config.levels
    if level not in held:
        raise UniferumError(
            f"store of {name}: levels",
            ", ".join(held),
            must=f"hold {level}, which data.level reads (preset released: full)",
            cure="prepare the cohort with --set levels=[train,full], or set data.level",
        )


def _as_run(config: RunConfig, cohort: PreparedCohort) -> PreparedCohort:
    """Return a cohort without the scans that are left out of training."""
    name, policy = cohort.name, config.data.on_wrong_hu
    folds = config.folds_of(name)
    for split in splits_read(config)[name]:
        refuse_flagged(cohort.for_training("keep", folds), split, policy)
    seen = cohort.for_training(policy, folds)
    if seen.left_out and name in config.trained_stores and not seen.patients(TRAINING_SPLIT):
        shown = f"all {len(seen.left_out)} scans are flagged {WRONG_HU}"
        cure = "correct them and prepare again, or set data.on_wrong_hu=keep"
        raise UniferumError(f"{name} train split", shown, must="hold a scan to train on", cure=cure)
    return seen.with_further_labels() if config.all_labels_of(name) else seen


def _grid(geometry: Geometry) -> str:
    stored = f"stored {geometry.box_mm} mm at {geometry.spacing_mm} mm"
    return f"{geometry.model_shape} voxels from {geometry.crop_mm} mm, {stored}"
