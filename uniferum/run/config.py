"""RunConfig: the complete config of one run, without the place where it runs.

Store paths and devices are separate arguments of :func:`uniferum.run.train.train_run`, not keys of the config.
"""

from typing import Any, Self

import yaml
from pydantic import Field, model_validator

from uniferum.config import Section
from uniferum.data.folds import Folds
from uniferum.data.settings import AugmentationConfig, DataConfig, SamplingConfig
from uniferum.evaluation.config import EvaluationConfig
from uniferum.model.config import ModelConfig
from uniferum.preprocessing.geometry import Geometry
from uniferum.run.presets import with_preset
from uniferum.systems import SYSTEMS, reads_text
from uniferum.training.config import OptimConfig, TrainingConfig

SEGMENTATION = "SEG"
NODULE_COHORT = "LUNA16"


class RunConfig(Section):
    """The config of one run: training and test cohorts, and all sections.

    ``train_on`` names cohorts, and ``SEG`` for organ tasks on them plus the nodules of LUNA16. An empty ``select_on``
    means the training cohorts: the best checkpoint is never selected on a zero-shot task. ``model.preset: released``
    fills the keys of :mod:`uniferum.run.presets` that are not given.

    Examples:
        >>> import uniferum
        >>> config = uniferum.RunConfig.model_validate({"name": "first", "train_on": ["CTRATE", "SEG"]})
        >>> config.training_cohorts, config.segmentation
        (('CTRATE',), True)
    """

    name: str = Field(min_length=1)
    seed: int = Field(0, ge=0)
    train_on: tuple[str, ...] = Field(min_length=1)
    evaluate_on: tuple[str, ...] = ()
    select_on: tuple[str, ...] = ()
    geometry: Geometry = Geometry()
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig.model_validate({})
    sampling: SamplingConfig = SamplingConfig.model_validate({})
    augmentation: AugmentationConfig = AugmentationConfig.model_validate({})
    training: TrainingConfig = TrainingConfig()
    optim: OptimConfig = OptimConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, given: Any) -> Any:
        return with_preset(given) if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _selection_stays_in_training(self) -> Self:
        if not self.training_cohorts:
            raise ValueError("name at least one cohort in train_on (SEG alone has no scans)")
        strangers = sorted(set(self.select_on) - set(self.training_cohorts))
        if strangers:
            raise ValueError(f"select only on cohorts of train_on, so that zero-shot stays so, but has {strangers}")
        return self

    @model_validator(mode="after")
    def _steps_fit_the_system(self) -> Self:
        own, steps = self.model.ct_clip, self.training.steps
        zero_shot = self.model.kind == "ct_clip" and own.way == "zero_shot"
        if zero_shot and (steps or own.checkpoint is None):
            raise ValueError(
                "have training.steps 0 and a model.ct_clip.checkpoint, because model.ct_clip.way is zero_shot, which "
                "trains nothing (way: contrastive trains a checkpoint from reports)"
            )
        if not zero_shot and not steps:
            raise ValueError("have training.steps of at least 1; only model.ct_clip.way zero_shot has 0")
        if self.reads_reports and self.segmentation:
            raise ValueError("not have SEG in train_on, because model.ct_clip.way contrastive reads reports alone")
        return self

    @model_validator(mode="after")
    def _other_prompts_are_read(self) -> Self:
        kind = self.model.kind
        if self.evaluation.prompts and not reads_text(kind):
            raise ValueError(f"have no evaluation.prompts, because model.kind is {kind}, which reads no text")
        if self.evaluation.prompts and kind == "ct_clip":
            raise ValueError(
                "have no evaluation.prompts, because model.kind is ct_clip, which reads pairs of texts "
                "(model.ct_clip.present, model.ct_clip.absent)"
            )
        return self

    @model_validator(mode="after")
    def _all_labels_are_for_one_system(self) -> Self:
        kind = self.model.kind
        if self.sampling.labels == "all" and not (kind in SYSTEMS and SYSTEMS[kind].all_labels):
            able = ", ".join(name for name, system in SYSTEMS.items() if system.all_labels)
            raise ValueError(f"have sampling.labels paper, because model.kind is {kind}; {able} alone trains on all")
        return self

    @property
    def reads_reports(self) -> bool:
        """Whether the training rows are pairs of volume and report."""
        return self.model.kind == "ct_clip" and self.model.ct_clip.way == "contrastive"

    @property
    def training_cohorts(self) -> tuple[str, ...]:
        """The cohorts of ``train_on`` in their order, without ``SEG``."""
        return tuple(cohort for cohort in self.train_on if cohort != SEGMENTATION)

    @property
    def segmentation(self) -> bool:
        """Whether organ and nodule tasks are trained."""
        return SEGMENTATION in self.train_on

    @property
    def selection_cohorts(self) -> tuple[str, ...]:
        """The cohorts whose validation tasks select the best checkpoint."""
        return self.select_on or self.training_cohorts

    def all_labels_of(self, cohort: str) -> bool:
        """Whether the run trains on all labels of a cohort, beyond the paper's."""
        return self.sampling.labels == "all" and cohort in self.training_cohorts

    def folds_of(self, cohort: str) -> Folds | None:
        """The division of a cohort into folds; None if it is not divided, as a cohort that is only tested on."""
        data = self.data
        if data.folds is None or cohort not in self.training_cohorts:
            return None
        return Folds(data.folds, data.fold, data.fold_seed, data.nested_folds)

    @property
    def trained_stores(self) -> tuple[str, ...]:
        """The cohorts whose training split is read: with ``SEG`` also LUNA16, unless ``sampling.luna_factor`` is 0."""
        nodules = self.segmentation and self.sampling.luna_factor > 0
        return (*self.training_cohorts, *((NODULE_COHORT,) if nodules and NODULE_COHORT not in self.train_on else ()))


def resolved_yaml(config: RunConfig) -> str:
    """Write a config with all keys as YAML."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
