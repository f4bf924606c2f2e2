"""Settings of batches, sampling and augmentation; separate from code that needs torch, so that plans load fast."""

import re
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from uniferum.config import Section
from uniferum.errors import near_miss

OnWrongHu = Literal["exclude", "keep", "stop"]
MissingMasks = Literal["refuse", "warn"]


# MONAI's random intensity transforms whose every draw follows from their seed; RandIntensityRemap also draws from a
# generator that cannot be seeded. A transform without chance would set training volumes apart from test volumes.
INTENSITY_TRANSFORMS = frozenset(
    {
        "RandAdjustContrast",
        "RandBiasField",
        "RandCoarseDropout",
        "RandGaussianNoise",
        "RandGaussianSharpen",
        "RandGaussianSmooth",
        "RandGibbsNoise",
        "RandHistogramShift",
        "RandKSpaceSpikeNoise",
        "RandRicianNoise",
        "RandScaleIntensity",
        "RandScaleIntensityFixedMean",
        "RandShiftIntensity",
        "RandStdShiftIntensity",
    }
)
# Words in the names of MONAI's transforms that move voxels or change the grid.
_SPATIAL = re.compile(
    "Affine|Axis|BoundingRect|Box|Crop|Deform|Distortion|Elastic|Flip|Grid|Orientation|Pad|Patch|Resample|Resize|Rotate"
    "|Shuffle|SimulateLowResolution|Spacing|Transpose|Warp|Zoom"
)


class TransformConfig(Section):
    """One MONAI transform of `data.transforms`."""

    name: str = Field(description="a random intensity transform of monai.transforms, e.g. RandAdjustContrast")
    arguments: dict[str, Any] = Field(default={}, description="its arguments, as MONAI names them")

    @field_validator("name")
    @classmethod
    def _changes_intensities_only(cls, name: str) -> str:
        if name in INTENSITY_TRANSFORMS:
            return name
        if _SPATIAL.search(name):
            raise ValueError("change intensities only: it moves voxels, which augmentation.* does in one resampling")
        raise ValueError(f"be a random intensity transform of MONAI; {near_miss(name, INTENSITY_TRANSFORMS)}")


class DataConfig(Section):
    """Settings of the conversion of stored volumes to batches."""

    # Keys that affect only speed and change no number of a batch, so they are not in the fingerprint.
    RESOURCE_KEYS: ClassVar[frozenset[str]] = frozenset({"loader_workers", "prefetch", "cache_gib"})
    # They select the scans of the splits, whose digests cover only these scans. So without flagged scans, and without
    # folds, the fingerprint does not change.
    CONTENT_KEYS: ClassVar[frozenset[str]] = frozenset({"on_wrong_hu", "folds", "fold", "fold_seed", "nested_folds"})

    level: Literal["train", "full"] = Field(
        "train", description="resample from the stored training level, or from 1 mm"
    )
    tasks_per_volume: int = Field(default=4, ge=1, description="maximum number of rows per encoding of their volume")
    resample: Literal["host", "device"] = Field(default="host", description="where the augmentation's resampling runs")
    loader_workers: int = Field(default=0, ge=0, description="threads that prepare volumes in advance; 0 uses none")
    prefetch: int = Field(default=2, ge=1, description="steps (evaluation: batches) that threads prepare in advance")
    cache_gib: float = Field(
        default=1.0, ge=0, description="cache decoded volumes in memory if all of them fit in this many GiB"
    )
    on_wrong_hu: OnWrongHu = Field(
        default="exclude",
        description="scans flagged wrong_hu: exclude removes them from training (selection and test keep and count "
        "them), keep uses all, stop refuses the run",
    )
    folds: int | None = Field(
        default=None,
        ge=2,
        le=20,
        description="divide training and validation scans into so many folds, by patient, stratified by the labels",
    )
    fold: int = Field(default=0, ge=0, description="the fold that validates; the others train")
    fold_seed: int = Field(default=0, ge=0, description="seed of the division into folds")
    nested_folds: bool = Field(
        default=False,
        description="divide the test scans of the training cohorts too: this fold is tested, the next one validates",
    )
    transforms: tuple[TransformConfig, ...] = Field(
        default=(), description="MONAI intensity transforms of training volumes, after augmentation and resampling"
    )

    @model_validator(mode="after")
    def _fold_exists(self) -> Self:
        if self.folds is None and (self.fold or self.fold_seed or self.nested_folds):
            raise ValueError("have folds where fold, fold_seed or nested_folds is set")
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(f"have a fold from 0 to {self.folds - 1}, not {self.fold}")
        if self.nested_folds and self.folds == 2:
            raise ValueError(
                "have 3 folds or more where nested_folds is true: one tests, one validates, the rest train"
            )
        return self

    def identity(self) -> dict[str, Any]:
        """The keys that change what a training sees, for a fingerprint."""
        return self.model_dump(exclude=set(self.RESOURCE_KEYS | self.CONTENT_KEYS))


class SamplingConfig(Section):
    """Settings for drawing training rows from the known labels and masks."""

    # Keys that decide whether a training may start, not its data, so they are not in the fingerprint.
    GATE_KEYS: ClassVar[frozenset[str]] = frozenset({"missing_masks"})

    balance: bool = Field(default=True, description="draw as many negatives as a task has positives (paper 3.3)")
    organ_share: float = Field(default=0.10, ge=0, description="organ tasks, as a share of organ_share_of (paper 3.3)")
    organ_share_of: Literal["rows", "scans"] = Field(
        default="rows", description="base of organ_share: a cohort's training rows, or its training scans"
    )
    luna_factor: int = Field(default=10, ge=0, description="repetitions of each LUNA16 scan's nodule task (paper 3.3)")
    label_count: int | None = Field(
        default=None,
        ge=1,
        description="train and select on so many labels of each cohort, the first of an order that is random but "
        "always the same, so that a smaller set is part of a larger one; all labels are tested; null: all",
    )
    labels: Literal["paper", "all"] = Field(
        default="paper",
        description="labels that train and select: the paper's of each cohort, or for cnn_draelos all of the dataset "
        "(RAD-ChestCT: 83); the paper's are tested",
    )
    missing_masks: MissingMasks = Field(
        default="refuse",
        description="a training with SEG with missing organ or nodule masks: refuse stops it before its first "
        "step, warn trains on the existing rows with a warning",
    )

    def identity(self) -> dict[str, Any]:
        """The keys that change what a training sees, for a fingerprint."""
        return self.model_dump(mode="json", exclude=set(self.GATE_KEYS))


class AugmentationConfig(Section):
    """Strength of the random augmentation of training volumes; ``probability: 0`` switches it off."""

    probability: float = Field(
        default=0.5, ge=0, le=1, description="of each of the four steps (released configuration)"
    )
    rotation_deg: float = Field(default=15.0, ge=0, le=180, description="maximum angle about each axis (paper 3.5)")
    zoom: float = Field(default=0.1, ge=0, lt=1, description="zoom factor from 1 - zoom to 1 + zoom (paper 3.5)")
    noise: float = Field(
        default=0.01, ge=0, description="maximum standard deviation of noise, [0, 1] units (released configuration)"
    )
    offset: float = Field(
        default=0.01, ge=0, description="maximum intensity offset, in [0, 1] units (released configuration)"
    )
    outside: Literal["edge", "air"] = Field(
        default="edge",
        description="values outside the stored box: the border repeated (released code), or -1000 HU",
    )
    unit: Literal["volume", "row"] = Field(
        default="volume",
        description="unit of one drawn augmentation: a volume with all its rows, which share one encoding, or "
        "every row, which is then encoded separately",
    )
    masks: Literal["nearest", "linear"] = Field(
        default="nearest",
        description="masks by nearest neighbour, or interpolated like the image to fractions (released code)",
    )
    resampling: Literal["once", "stepwise"] = Field(
        default="once",
        description="rotation and zoom in one interpolation, or rotation first and then zoom (released code)",
    )
