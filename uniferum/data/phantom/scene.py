"""A scene of shapes in painting order, in atlas mm (RAS), from which a phantom is rendered."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from uniferum.data.phantom import raster

Point = Sequence[float]

LUNG_IDS = (10, 11, 12, 13, 14)
VERTEBRA_IDS = tuple(range(31, 45))

# Regions that a shape may cover, by name: tissue codes, or None for everything.
_BONE = (*VERTEBRA_IDS, *range(92, 118))
_REGIONS: dict[str, tuple[int, ...] | None] = {
    "any": None,
    "lungs": LUNG_IDS,
    "left_lung": (10, 11),
    "right_lung": (12, 13, 14),
    "lower_lobes": (11, 14),
    "lower_lobe_left": (11,),
    "upper_lobes": (10, 12, 13),
    "upper_lobe_right": (12,),
    "lower_lobe_right": (14,),
    "arteries": (raster.ARTERY,),
    "inside_chest": (*LUNG_IDS, raster.FAT, raster.FLUID, raster.SOFT),
    "not_bone": tuple(code for code in range(1, 256) if code not in _BONE),
    "body": tuple(range(1, 256)),
}
REGION_NAMES = tuple(_REGIONS)
PATTERNS = {
    "solid": raster.SOLID,
    "lattice": raster.LATTICE,
    "chequer": raster.CHEQUER,
    "cells": raster.CELLS,
    "bands": raster.BANDS,
}


def allowed_table() -> np.ndarray:
    """Booleans (region, tissue code) for :func:`uniferum.data.phantom.raster.paint`."""
    table = np.zeros((len(_REGIONS), 256), dtype=np.bool_)
    for row, codes in enumerate(_REGIONS.values()):
        table[row, list(codes) if codes is not None else slice(None)] = True
    return table


class Scene:
    """Shapes in painting order, and random numbers for their positions."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.rows: list[np.ndarray] = []

    def table(self) -> np.ndarray:
        """The shapes as a float table (shape, column)."""
        return np.stack(self.rows)

    def jitter(self, size_mm: float) -> np.ndarray:
        """Random offset of at most ``size_mm`` along each axis, in mm."""
        return self.rng.uniform(-size_mm, size_mm, 3)

    def vary(self, value: float, share: float = 0.1) -> float:
        """Random value within ``share`` of ``value``."""
        return float(value * self.rng.uniform(1 - share, 1 + share))

    def ellipsoid(self, centre: Point, radii: Point, hu: float, **how: Any) -> None:
        """Add an ellipsoid; ``inner=0.8`` omits its core up to 0.8 of the radii."""
        self._add(raster.ELLIPSOID, centre, (0, 0, 0), radii, hu, **how)

    def tube(self, start: Point, end: Point, radius: float, hu: float, **how: Any) -> None:
        """Add a tube with round ends; ``inner`` is the omitted share of the radius."""
        self._add(raster.TUBE, start, end, (radius, radius, radius), hu, **how)

    def box(self, centre: Point, half: Point, hu: float, **how: Any) -> None:
        """Add a box by its centre and half sizes."""
        self._add(raster.BOX, centre, (0, 0, 0), half, hu, **how)

    def cage(self, radii: tuple[float, float], inner: float) -> None:
        """Add the chest wall: an elliptic cylinder with ribs between ``inner`` and 1 of its radii."""
        self._add(raster.CAGE, (0, 0, 0), (0, 0, 0), (*radii, 1e4), 0.0, inner=inner)

    def _add(
        self,
        kind: int,
        a: Point,
        b: Point,
        radii: Point,
        hu: float,
        *,
        inner: float = 0.0,
        over: str = "body",
        add: bool = False,
        tissue: int = -1,
        pattern: str = "solid",
        period: float = 1.0,
        fill: float = 1.0,
        keep: tuple[float, float, float, float] = (0.0, 0.0, 0.0, -1.0),
    ) -> None:
        """Add one shape.

        Args:
            kind: kind of :mod:`uniferum.data.phantom.raster`.
            a: centre, or start of a tube.
            b: end of a tube.
            radii: radii, half sizes, or three times the tube's radius.
            hu: value to set, or to add with ``add``.
            inner: omitted share of the radii.
            over: region that it may cover.
            add: whether to add to existing values instead of replacing them.
            tissue: tissue code to set, -1 keeps the existing one.
            pattern: pattern of the painted parts inside the shape.
            period: period of the pattern, mm.
            fill: share of the period that is painted.
            keep: (nx, ny, nz, d): paint only where n . p >= d.
        """
        row = np.zeros(raster.WIDTH)
        row[raster.KIND], row[raster.INNER], row[raster.HU] = kind, inner, hu
        row[raster.A : raster.A + 3], row[raster.B : raster.B + 3], row[raster.R : raster.R + 3] = a, b, radii
        row[raster.REGION], row[raster.MODE] = REGION_NAMES.index(over), raster.ADD if add else raster.SET
        row[raster.TISSUE], row[raster.PATTERN] = tissue, PATTERNS[pattern]
        row[raster.PERIOD], row[raster.FILL] = period, fill
        row[raster.PLANE : raster.PLANE + 4] = keep
        self.rows.append(row)
