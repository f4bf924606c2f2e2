"""How many phantoms each cohort gets, from which seed, at which voxel size."""

from pydantic import Field

from uniferum.config import Section
from uniferum.preprocessing.pipeline import PreparationConfig


class Splits(Section):
    """Patients (CT-RATE) or scans (INSPECT, RAD-ChestCT) of each split."""

    train: int = Field(ge=1)
    validation: int = Field(ge=1)
    test: int = Field(ge=1)


class PhantomConfig(Section):
    """What ``uniferum data phantom`` writes.

    Attributes:
        seed: the same seed writes the same voxels, whatever the number of workers.
        voxel_mm: mean voxel size; in-plane 10 % around it, slices from 0.8 to 1.25 of it (RAD-ChestCT: just it).
        ct_rate: patients; ``validation`` of them are held out of the training folder by the cohort's reader.
        inspect: scans of the official splits.
        rad_chest: scans of imgtrain, imgvalid, imgtest.
        luna16: scans, over ten subsets.
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
    """What ``uniferum data demo`` makes.

    Attributes:
        phantoms: folder of the phantoms.
        phantom_config: YAML of a :class:`PhantomConfig`.
        preparation: how the scans are prepared.
        stores: cohort YAML to store folder.
    """

    phantoms: str
    phantom_config: str
    preparation: PreparationConfig
    stores: dict[str, str]
