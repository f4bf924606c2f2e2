"""Anatomy of a healthy thorax in atlas mm (RAS), each organ with its TotalSegmentator v2 id.

+x is the patient's right, +y the front, +z the head: left lung and heart apex are at negative x, the liver is at
positive x. Ids are those of TotalSegmentator's `map_to_binary.py`, task `total`.
"""

from dataclasses import dataclass

from uniferum.data.phantom import raster
from uniferum.data.phantom.scene import Scene

BODY_RADII_MM = (166.0, 112.0)
CAGE_RADII_MM = (146.0, 97.0)
LUNG_FLOOR_MM, LUNG_TOP_MM = -100.0, 108.0
VERTEBRA_PITCH_MM, T1_HEIGHT_MM = 20.5, 108.0
HEART_CENTRE_MM, HEART_RADII_MM = (-22.0, 22.0, -38.0), (54.0, 46.0, 50.0)
CARDIOMEGALY_SCALE = 1.34
ARTERY_SCALE_HYPERTENSION = 1.75

# Lungs: centre and radii of the half ellipsoid above the floor.
LUNG_CENTRE_MM, LUNG_RADII_MM = (72.0, -3.0, LUNG_FLOOR_MM), (58.0, 82.0, LUNG_TOP_MM - LUNG_FLOOR_MM)

# Great vessels: start, end, radius.
AORTA = (
    ((6, 14, -8), (8, 18, 44), 14.0),
    ((8, 18, 46), (-4, -12, 62), 13.5),
    ((-4, -12, 62), (-18, -44, 52), 13.0),
    ((-18, -44, 52), (-15, -50, -160), 12.0),
)
MAIN_ARTERIES = (
    ((-14, 30, 6), (-8, 4, 32), 16.0),
    ((-8, 4, 31), (44, -6, 22), 14.0),
    ((-8, 4, 33), (-50, -10, 30), 14.0),
)
LOBAR_ARTERIES = (
    ((44, -6, 20), (64, -28, -46), 10.0),
    ((-50, -10, 28), (-70, -32, -46), 10.0),
    ((44, -6, 24), (66, 6, 70), 8.0),
    ((-50, -10, 32), (-68, 4, 72), 8.0),
)


@dataclass(frozen=True)
class Build:
    """Variations of healthy thoraces: HU of lungs and blood, size of heart and arteries."""

    lung_hu: float = -765.0
    blood_hu: float = 45.0
    artery_hu: float = 45.0
    heart_scale: float = 1.0
    artery_scale: float = 1.0


def draw(scene: Scene, build: Build) -> None:
    """Paint the thorax from the skin inwards; later shapes cover earlier ones."""
    _trunk(scene)
    _lungs(scene, build)
    _abdomen(scene)
    _airways(scene)
    _heart_and_vessels(scene, build)
    _spine(scene)


def _trunk(scene: Scene) -> None:
    rx, ry = BODY_RADII_MM
    scene.ellipsoid((0, 0, 0), (rx, ry, 1e4), -105, over="any", tissue=raster.SKIN_FAT)
    scene.ellipsoid((0, 0, 0), (rx - 10, ry - 8, 1e4), 50, tissue=raster.SOFT)
    for side, scapula, clavicle in ((-1, 71, 73), (1, 72, 74)):
        scene.box((side * 95, -88, 70), (28, 4, 38), 350, tissue=scapula)
        scene.tube((side * 18, 70, 118), (side * 115, 20, 124), 6, 380, tissue=clavicle)
    scene.cage(CAGE_RADII_MM, 0.91)
    scene.box((0, 84, 15), (17, 8, 62), 300, tissue=116)


def _lungs(scene: Scene, build: Build) -> None:
    x, y, z = LUNG_CENTRE_MM
    for side, lower, upper in ((-1, 11, 10), (1, 14, 12)):
        centre = (side * x, y, z)
        scene.ellipsoid(
            centre, LUNG_RADII_MM, build.lung_hu, over="inside_chest", tissue=lower, keep=(0, 0, 1, LUNG_FLOOR_MM)
        )
        # The oblique fissure descends from behind to the front: the upper lobe is in front of it.
        region = "lower_lobe_left" if side < 0 else "lower_lobe_right"
        scene.ellipsoid(centre, LUNG_RADII_MM, 0, add=True, over=region, tissue=upper, keep=(0, 1.0, 0.95, -12))
    scene.ellipsoid((x, y, z), LUNG_RADII_MM, 0, add=True, over="upper_lobe_right", tissue=13, keep=(0, 0, -1, 2))
    for side in (-1, 1):
        for dy, dz in ((30, 45), (-40, 40), (35, -45), (-45, -55), (0, 70)):
            scene.tube((side * 45, -6, 20), (side * 100, dy, dz), 3.2, 0, over="lungs")


def _abdomen(scene: Scene) -> None:
    scene.ellipsoid((-70, -5, -165), (76, 88, 84), 45, over="not_bone", tissue=raster.SOFT)
    scene.ellipsoid((-105, -40, -140), (30, 42, 40), 55, over="not_bone", tissue=1)
    scene.ellipsoid((-62, 26, -145), (42, 46, 52), 35, over="not_bone", tissue=6)
    scene.ellipsoid((-62, 36, -138), (24, 20, 30), -950, over="not_bone", tissue=6)
    scene.ellipsoid((68, 0, -158), (80, 88, 86), 62, over="not_bone", tissue=5)


def _airways(scene: Scene) -> None:
    scene.tube((-2, -42, 150), (-6, -50, -120), 8, 35, over="not_bone", tissue=15)
    scene.tube((2, -20, 150), (2, -24, 38), 11, 20, over="not_bone", tissue=raster.AIRWAY)
    scene.tube((2, -20, 150), (2, -24, 38), 9, -990, over="not_bone", tissue=16)
    for side in (-1, 1):
        scene.tube((2, -24, 38), (side * 46, -20, 8), 9, 20, over="not_bone", tissue=raster.AIRWAY)
        scene.tube((2, -24, 38), (side * 46, -20, 8), 7, -990, over="not_bone", tissue=raster.AIRWAY)


def heart_radii(build: Build) -> tuple[float, float, float]:
    """Radii of the heart along x, y and z, in mm."""
    a, b, c = HEART_RADII_MM
    return a * build.heart_scale, b * build.heart_scale, c * build.heart_scale


def _heart_and_vessels(scene: Scene, build: Build) -> None:
    blood = build.blood_hu
    scene.tube((25, 12, 96), (22, 16, 0), 10, blood, over="not_bone", tissue=62)
    scene.tube((26, 0, -170), (18, 8, -75), 12, blood, over="not_bone", tissue=63)
    scene.tube((10, 2, 64), (20, 6, 106), 7, blood, over="not_bone", tissue=54)
    scene.ellipsoid(HEART_CENTRE_MM, heart_radii(build), (45 + blood) / 2, over="not_bone", tissue=51)
    for side in (-1, 1):
        scene.tube((side * 58, -24, -14), (side * 8 - 8, -24, -16), 9, blood, over="not_bone", tissue=53)
    for start, end, radius in AORTA:
        scene.tube(start, end, radius, blood, over="not_bone", tissue=52)
    for start, end, radius in (*LOBAR_ARTERIES, *MAIN_ARTERIES):
        scene.tube(start, end, radius * build.artery_scale, build.artery_hu, over="not_bone", tissue=raster.ARTERY)
    scene.ellipsoid((-46, 8, 2), (13, 12, 10), blood, over="not_bone", tissue=61)


def _spine(scene: Scene) -> None:
    for number in range(14):
        # From C7 (44) over T1 (43) to T12 (32) and L1 (31): ids decrease from the neck downwards.
        z = T1_HEIGHT_MM + VERTEBRA_PITCH_MM * (1 - number)
        scene.box((0, -74, z), (16, 14, VERTEBRA_PITCH_MM / 2 - 1.5), 260, tissue=44 - number)
        scene.box((0, -97, z - 2), (5, 9, 7), 300, tissue=44 - number)
    scene.tube((0, -91, 200), (0, -91, -200), 6, 30, tissue=79)
