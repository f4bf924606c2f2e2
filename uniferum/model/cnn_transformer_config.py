"""Config section of CNN + Transformer (INSPECT, Huang et al. 2023), with its published values. It loads no torch.

Sources: "code" is the published code (github.com/som-shahlab/INSPECT_public, image/). What it leaves to a search
(sweep.yaml) or does not state is marked as our choice.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from uniferum.config import Section
from uniferum.model.own_input_config import OwnInput

Window = tuple[float, float]
Colours = tuple[float, float, float]


class CnnTransformerInput(OwnInput):
    """The grid and the intensities that the slice network reads."""

    spacing_mm: tuple[float, float, float] | None = (1.5, 1.5, 1.0)
    """Voxel size along x, y, z; ``null``: the grid of the run's ``geometry`` as it is. Our choice: the code resizes
    slices of any field of view to 256 x 256 pixels and keeps the distance of slices of the scanner."""
    shape: tuple[int, int, int] = (224, 224, 250)
    """Voxels along x, y, z: the centred crop of a slice (code: stanford.yaml), and the number of slices about the
    middle (code: stanford_featurized.yaml); unused where ``spacing_mm`` is null."""
    orientation: str = Field(default="LPS", pattern="^[LR][AP][SI]$")
    """Direction of the axes x, y, z. Not stated; our choice is that of DICOM slices from bottom to top."""
    windows_hu: tuple[Window, Window, Window] = ((-600.0, 1500.0), (400.0, 1000.0), (40.0, 400.0))
    """Centre and width of the three windows: lung, pulmonary embolism, mediastinum (code: dataset_base.py)."""
    mean: Colours = (0.485, 0.456, 0.406)
    """Subtracted from the three windows in [0, 1]: the mean of ImageNet (code: transforms/supervised.py)."""
    std: Colours = (0.229, 0.224, 0.225)
    """They are divided by it afterwards (code: transforms/supervised.py)."""

    @model_validator(mode="after")
    def _widths(self) -> Self:
        if min(width for _, width in self.windows_hu) <= 0 or min(self.std) <= 0:
            raise ValueError("have windows_hu with positive widths, and a positive std")
        return self


class CnnTransformerConfig(Section):
    """CNN + Transformer: its input and its sizes."""

    input: CnnTransformerInput = CnnTransformerInput()
    network: str = "resnetv2_101x3_bit.goog_in21k"
    """The 2D network over slices, as timm names it with its weights (code: vision_backbones.py)."""
    freeze_network: bool = True
    """Train on fixed features of slices, the second stage of the code. Its first stage trains the network on slices
    of RSNA's pulmonary embolism data, which no cohort here has; ``false`` trains it together with the rest."""
    layers: int = Field(default=1, ge=1)
    """Transformer layers (code: model_1d.yaml; searched over 1 and 3)."""
    heads: int = Field(default=16, ge=1)
    """Attention heads (code: models_1d.py)."""
    feed_forward: int = Field(default=512, ge=1)
    """Width of the feed-forward layers (code: model_1d.yaml; searched over 64, 128 and 256)."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Of the transformer (code: model_1d.yaml; searched over 0, 0.25 and 0.5)."""
    position: Literal["none", "append"] = "none"
    """``append``: the slice's distance from the first one in mm follows its features, as the code has it. The sum must
    be a multiple of ``heads``, which 6,144 + 1 and 16 are not (the code's own scripts use an LSTM)."""
    pooling: Literal["mean", "max", "attention", "attention+max"] = "attention"
    """Over slices (code: models_1d.py; searched over all four)."""
