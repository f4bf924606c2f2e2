"""Settings of the phantoms: numbers per cohort, seed and voxel size."""

from pydantic import Field

from uniferum.config import Section
from uniferum.preprocessing.pipeline import PreparationConfig


class Splits(Section):
    """Number of patients (CT-RATE) or scans (INSPECT, RAD-ChestCT) of each split."""

    train: int = Field(ge=1)
    validation: int = Field(ge=1)
    test: int = Field(ge=1)


class PhantomConfig(Section):
    """Settings of ``uniferum data phantom``.

    Attributes:
        seed: seed of the voxels, which do not depend on the number of workers.
        voxel_mm: mean voxel size; varied in-plane by 10 %, slices by factors of 0.8 to 1.25 (RAD-ChestCT: not varied).
        ct_rate: patients; the cohort's reader holds out ``validation`` of them from the training folder.
        inspect: scans of the official splits.
        rad_chest: scans of imgtrain, imgvalid, imgtest.
        luna16: scans in ten subsets.
        second_reconstruction: share of CT-RATE's studies with a second reconstruction of the same body.
    """

    seed: int = 0
    voxel_mm: float = Field(default=4.5, gt=0.5)
    ct_rate: Splits = Splits(train=640, validation=60, test=110)
    inspect: Splits = Splits(train=560, validation=60, test=110)
    rad_chest: Splits = Splits(train=560, validation=60, test=110)
    luna16: int = Field(default=48, ge=1)
    second_reconstruction: float = Field(default=0.05, ge=0, le=1)


class DemoData(Section):
    """Settings of ``uniferum data demo``.

    Attributes:
        phantoms: folder of the phantoms.
        phantom_config: YAML file of a :class:`PhantomConfig`.
        preparation: settings for preparing the scans.
        stores: cohort YAML file to store folder.
    """

    phantoms: str
    phantom_config: str
    preparation: PreparationConfig
    stores: dict[str, str]
