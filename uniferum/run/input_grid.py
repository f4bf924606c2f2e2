"""The input of a run: the stored level that it reads, the grid of its batches, and the grid of the system's own.

A system that has its own grid is also given input that is coarser than published, or of a smaller part of the body. The
record of a run and its log say so.
"""

from typing import Any

from uniferum.model.own_input_config import coarser_axes
from uniferum.run.config import RunConfig
from uniferum.systems import system_of


def input_record(config: RunConfig) -> dict[str, Any]:
    """The entry ``input`` of a run's record; sizes are along x, y, z.

    ``own`` is the grid to which the system resamples its input; ``coarser`` the axes along which the input is coarser
    than that, ``smaller`` those along which it covers less of the body. They are absent for a system without one.
    """
    geometry, own = config.geometry, config.model.own_input
    record: dict[str, Any] = {
        "level": config.data.level,
        "shape": list(geometry.model_shape),
        "spacing_mm": [round(mm, 6) for mm in geometry.level_spacing_mm],
    }
    if own is None or own.spacing_mm is None:
        return record
    extents = zip("xyz", geometry.crop_mm, own.shape, own.spacing_mm, strict=True)
    return {
        **record,
        "own": {"shape": list(own.shape), "spacing_mm": list(own.spacing_mm)},
        "coarser": coarser_axes(own, geometry.level_spacing_mm),
        "smaller": "".join(axis for axis, given_mm, count, mm in extents if given_mm < count * mm - 1e-6),
    }


def input_warnings(config: RunConfig) -> list[str]:
    """One sentence where the input of a run is coarser than the system's own grid; a store of finer voxels cures it."""
    record = input_record(config)
    if not record.get("coarser"):
        return []
    title, own = system_of(config.model.kind).title, record["own"]["spacing_mm"]
    cure = "data.level=full, with a finer geometry.model_shape, reads the finest voxels of a store"
    return [
        f"{title} reads voxels of {_times(own)} mm, and its input has {_times(record['spacing_mm'])} mm "
        f"(coarser along {', '.join(record['coarser'])}); {cure}"
    ]


def _times(values: list[float]) -> str:
    return " x ".join(f"{value:g}" for value in values)
