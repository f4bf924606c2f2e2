"""Config section of CT-Net (Draelos et al. 2021); the defaults are the published sizes. It loads no torch.

Sources: "code" is the published code (github.com/rachellea/ct-net-models), "preprocessing" is
github.com/rachellea/ct-volume-preprocessing, "paper" is Medical Image Analysis 67 (2021) 101857.
"""

from typing import Self

from pydantic import Field, model_validator

from uniferum.config import Section
from uniferum.model.own_input_config import OwnInput

Sizes = tuple[int, int, int]


class CtNetInput(OwnInput):
    """The grid and the intensities that CT-Net reads."""

    spacing_mm: tuple[float, float, float] | None = (0.8, 0.8, 0.8)
    """Voxel size along x, y, z (preprocessing); ``null``: the grid of the run's ``geometry`` as it is."""
    shape: Sizes = (420, 420, 402)
    """Voxels along x, y, z after the centred crop or padding (code: utils.py); unused where ``spacing_mm`` is null."""
    orientation: str = Field(default="LPI", pattern="^[LR][AP][SI]$")
    """Direction of the axes x, y, z (preprocessing: slices from top to bottom, rows from front to back)."""
    hu: tuple[float, float] = (-1000.0, 200.0)
    """Limits to which HU are clipped; they become 0 and 1 (code: main.py, utils.py)."""
    subtract: float = 0.449
    """Subtracted after that: the mean of ImageNet over its three channels (code: utils.py)."""

    @model_validator(mode="after")
    def _window(self) -> Self:
        if self.hu[0] >= self.hu[1]:
            raise ValueError(f"have hu as a lower and a higher limit, not {list(self.hu)}")
        return self


class Conv(Section):
    """One 3D convolution without padding, over channels of the slice network, rows and columns, in this order."""

    out: int = Field(ge=1)
    """Channels of its output; those of its first input are the triplets."""
    kernel: Sizes
    stride: Sizes

    @model_validator(mode="after")
    def _positive(self) -> Self:
        if min(*self.kernel, *self.stride) < 1:
            raise ValueError("have a positive kernel and a positive stride")
        return self


class CtNetConfig(Section):
    """CT-Net: its input and its sizes."""

    input: CtNetInput = CtNetInput()
    network: str = "resnet18.tv_in1k"
    """The 2D network over triplets of slices, as timm names it with its weights (code: torchvision's ResNet-18)."""
    convs: tuple[Conv, ...] = Field(
        default=(
            Conv(out=64, kernel=(3, 3, 3), stride=(3, 1, 1)),
            Conv(out=32, kernel=(3, 3, 3), stride=(3, 1, 1)),
            Conv(out=16, kernel=(3, 2, 2), stride=(3, 2, 2)),
        ),
        min_length=1,
    )
    """The reducing convolutions, each followed by ReLU (code: custom_models_ctnet.py)."""
    hidden: tuple[int, ...] = (128, 96)
    """Widths of the layers of the classifier, each followed by ReLU and dropout (code: custom_models_ctnet.py)."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Of the classifier (code: custom_models_ctnet.py)."""

    @model_validator(mode="after")
    def _widths(self) -> Self:
        if min(self.hidden, default=1) < 1:
            raise ValueError("have positive widths in hidden")
        return self
