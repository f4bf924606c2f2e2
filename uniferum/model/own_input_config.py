"""Config section of an input grid of a system's own; the sections of the compared systems extend it. It loads no torch.

The run's ``geometry`` says which part of a scan a batch holds and how fine; a system with an own grid resamples that to
its published one.
"""

from typing import Self

from pydantic import Field, model_validator

from uniferum.config import Section

Triple = tuple[float, float, float]


class OwnInput(Section):
    """The grid that a system reads; volumes are resampled to it from the run's own grid."""

    spacing_mm: Triple | None = None
    """Voxel size along x, y, z; ``null``: the grid of the run's ``geometry`` as it is."""
    shape: tuple[int, int, int] = (1, 1, 1)
    """Voxels along x, y, z after the centred crop or padding; unused where ``spacing_mm`` is null."""
    orientation: str = Field(default="RAS", pattern="^[LR][AP][SI]$")
    """Direction of the axes x, y, z."""

    @model_validator(mode="after")
    def _positive(self) -> Self:
        if min(self.shape) < 1 or min(self.spacing_mm or (1.0,)) <= 0:
            raise ValueError("have a positive shape and a positive spacing_mm")
        return self


def coarser_axes(own: OwnInput | None, spacing_mm: Triple) -> str:
    """The axes along which a grid is coarser than a system's own, e.g. ``yz``; empty if there are none.

    Examples:
        >>> coarser_axes(OwnInput(spacing_mm=(1.5, 1.5, 1.0)), (1.5, 2.0, 2.0))
        'yz'
    """
    if own is None or own.spacing_mm is None:
        return ""
    return "".join(
        axis for axis, given, wanted in zip("xyz", spacing_mm, own.spacing_mm, strict=True) if given > wanted + 1e-6
    )
