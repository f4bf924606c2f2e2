"""Shared parts of the findings: their registry, and shapes in pairs, trees and rims."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, sin, tau
from typing import Any

from uniferum.data.phantom.anatomy import HEART_CENTRE_MM, LUNG_CENTRE_MM, LUNG_RADII_MM
from uniferum.data.phantom.scene import Point, Scene

METAL_HU = 3000.0
Radii = tuple[float, float, float]
Draw = Callable[[Scene, Radii], None]

# Painting order: first clouds and textures, which change existing values, then dense shapes, then metal and calcium.
TEXTURE, DENSE, METAL = 0, 1, 2


@dataclass(frozen=True)
class Finding:
    """One finding: its drawing function (None: drawn by the anatomy), its order, size and contrast in words."""

    draw: Draw | None
    order: int
    size: str
    contrast: str


FINDINGS: dict[str, Finding] = {}


def finding(name: str, size: str, contrast: str, *, order: int = DENSE) -> Callable[[Draw], Draw]:
    """Register a drawing function for a finding; it gets the scene and the heart's radii (mm)."""

    def register(draw: Draw) -> Draw:
        FINDINGS[name] = Finding(draw, order, size, contrast)
        return draw

    return register


def both(scene: Scene, centre: Point, radii: Point, hu: float, **how: Any) -> None:
    """Add an ellipsoid on the left and its mirror image on the right."""
    for side in (-1, 1):
        scene.ellipsoid((side * centre[0], centre[1], centre[2]), radii, hu, **how)


def branches(
    scene: Scene,
    root: Point,
    ends: Sequence[Point],
    radius: float,
    hu: float,
    *,
    lumen: float,
    sides: Sequence[int] = (-1, 1),
) -> None:
    """Add tubes from a hilum into the lung, with air inside up to the share ``lumen`` of the radius."""
    for side in sides:
        start = (side * root[0], root[1], root[2])
        for x, y, z in ends:
            dx, dy, dz = scene.jitter(5)
            end = (side * (x + dx), y + dy, z + dz)
            scene.tube(start, end, radius, hu, over="lungs")
            if lumen:
                scene.tube(start, end, radius * lumen, -1000, over="lungs")


def nodule_centre(scene: Scene) -> Radii:
    """Random point inside a lung, in atlas mm, with a distance from its surface and the heart."""
    side = scene.rng.choice((-1.0, 1.0))
    z = scene.rng.uniform(-60, 70)
    wide = (1 - ((z - LUNG_CENTRE_MM[2]) / LUNG_RADII_MM[2]) ** 2) ** 0.5
    reach, angle = wide * scene.rng.uniform(0.2, 0.7), scene.rng.uniform(0, tau)
    x = LUNG_CENTRE_MM[0] + 12 + (LUNG_RADII_MM[0] - 12) * reach * cos(angle)
    return float(side * x), float(LUNG_CENTRE_MM[1] + LUNG_RADII_MM[1] * reach * sin(angle)), float(z)


def rim(scene: Scene, heart: Radii, depth: float, hu: float, *, tissue: int) -> None:
    """Add a layer of ``depth`` mm around the heart."""
    inner = sum(radius / (radius + depth) for radius in heart) / 3
    outer = tuple(radius + depth for radius in heart)
    scene.ellipsoid(HEART_CENTRE_MM, outer, hu, over="inside_chest", tissue=tissue, inner=inner)
