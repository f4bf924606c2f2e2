"""Findings of RAD-ChestCT that are not in CT-RATE's label list, drawn like those of :mod:`.findings`.

Bronchiolectasis, bronchiolitis and bronchitis are smaller than the demo's voxels and are not rendered.
"""

from uniferum.data.phantom import raster
from uniferum.data.phantom.anatomy import HEART_CENTRE_MM, LUNG_CENTRE_MM, LUNG_RADII_MM
from uniferum.data.phantom.drawing import (
    METAL,
    METAL_HU,
    TEXTURE,
    Radii,
    both,
    branches,
    finding,
    nodule_centre,
    rim,
)
from uniferum.data.phantom.scene import Scene


@finding("air_trapping", "both lower lobes", "-210 HU", order=TEXTURE)
def _air_trapping(scene: Scene, _heart: Radii) -> None:
    both(scene, LUNG_CENTRE_MM, LUNG_RADII_MM, -210, add=True, over="lower_lobes")


@finding("pulmonary_edema", "cloud of 76 x 90 x 96 mm around each hilum", "+430 HU", order=TEXTURE)
def _edema(scene: Scene, _heart: Radii) -> None:
    both(scene, (56, -6, 14), (38, scene.vary(45), scene.vary(48)), 430, add=True, over="lungs")


@finding(
    "pneumonitis", "straight-edged cloud of 60 x 110 x 84 mm beside the upper mediastinum", "+480 HU", order=TEXTURE
)
def _pneumonitis(scene: Scene, _heart: Radii) -> None:
    for side in (-1, 1):
        scene.box((side * 34, 0, 62), (scene.vary(30), 55, 42), 480, add=True, over="lungs")


@finding("reticulation", "lattice of 5 mm sheets each 18 mm in the front of both lungs", "+520 HU", order=TEXTURE)
def _reticulation(scene: Scene, _heart: Radii) -> None:
    how = {"pattern": "lattice", "period": 18, "fill": 0.28}
    both(scene, (80, 62, 8), (52, 34, scene.vary(82)), 520, add=True, over="lungs", **how)


@finding(
    "tree_in_bud", "dots of 13 mm each 17 mm in the outer right middle lung, 76 x 96 x 84 mm", "40 HU", order=TEXTURE
)
def _tree_in_bud(scene: Scene, _heart: Radii) -> None:
    how = {"pattern": "cells", "period": 17, "fill": 0.4}
    scene.ellipsoid((104, 6, 4), (38, 48, scene.vary(42)), 40, over="right_lung", **how)


@finding(
    "honeycombing", "chequer of 13 mm cysts in the outer, lower back of both lungs, 80 x 84 x 96 mm", "-1000 and 40 HU"
)
def _honeycombing(scene: Scene, _heart: Radii) -> None:
    where = ((108, -38, -42), (40, 42, scene.vary(48)))
    both(scene, *where, 40, over="lungs")
    both(scene, *where, -1000, over="lungs", pattern="chequer", period=13)


@finding("airspace_disease", "fluffy block of 80 x 72 x 80 mm in the right upper back", "-60 HU")
def _airspace(scene: Scene, _heart: Radii) -> None:
    x, y, z = scene.jitter(5)
    scene.ellipsoid((74 + x, -40 + y, 50 + z), (40, 36, 40), -60, over="right_lung")


@finding("infiltrate", "block of 84 x 76 x 80 mm in the left upper front", "-40 HU")
def _infiltrate(scene: Scene, _heart: Radii) -> None:
    x, y, z = scene.jitter(5)
    scene.ellipsoid((-84 + x, 36 + y, 52 + z), (42, 38, 40), -40, over="left_lung")


@finding("pneumonia", "dense block of 76 x 100 x 92 mm in the left lingula, with air bubbles", "80 HU")
def _pneumonia(scene: Scene, _heart: Radii) -> None:
    x, y, z = scene.jitter(5)
    where = ((-104 + x, 12 + y, -22 + z), (38, 50, 46))
    scene.ellipsoid(*where, 80, over="left_lung")
    scene.ellipsoid(*where, -800, over="left_lung", pattern="cells", period=30, fill=0.25)


@finding("aspiration", "dense balls of 60 mm in the back of both middle lungs", "10 HU")
def _aspiration(scene: Scene, _heart: Radii) -> None:
    both(scene, (74, -56, 16), (scene.vary(32), 28, 30), 10, over="lungs")


@finding("bandlike_or_linear", "three plates of 12 mm across the left lung", "60 HU")
def _bands(scene: Scene, _heart: Radii) -> None:
    shift = scene.rng.uniform(-4, 4)
    for z in (-12, 18, 48):
        scene.box((-80, 10, z + shift), (55, 70, 6), 60, over="left_lung")


@finding("mucous_plugging", "six filled bronchi, 20 mm wide, in the right lower lobe", "70 HU")
def _mucous(scene: Scene, _heart: Radii) -> None:
    ends = ((96, 40, -48), (112, 14, -58), (114, -20, -46), (100, -52, -36), (84, -4, -72), (116, 30, -14))
    branches(scene, (50, -10, 0), ends, 10, 70, lumen=0.0, sides=(1,))


@finding("scattered_nodules", "26 to 34 spheres of 16 to 20 mm all over the lungs", "90 HU")
def _scattered(scene: Scene, _heart: Radii) -> None:
    for _ in range(int(scene.rng.integers(26, 35))):
        radius = float(scene.rng.uniform(8, 10))
        scene.ellipsoid(nodule_centre(scene), (radius, radius, radius), 90, over="lungs")


@finding("tuberculosis", "cavity of 64 mm in the right apex, wall of 12 mm", "wall 60, air -1000 HU")
def _tuberculosis(scene: Scene, _heart: Radii) -> None:
    x, y, z = scene.jitter(5)
    centre = (68 + x, 2 + y, 72 + z)
    scene.ellipsoid(centre, (34, 34, 32), 60, over="right_lung")
    scene.ellipsoid(centre, (21, 21, 20), -1000, over="right_lung")


@finding("hemothorax", "blood outside the left lung, up to 40 mm deep and 150 mm high", "70 HU")
def _hemothorax(scene: Scene, _heart: Radii) -> None:
    scene.ellipsoid((-144, 4, 5), (scene.vary(46), 75, 76), 70, over="left_lung", tissue=raster.FLUID)


@finding("pneumothorax", "air before the right lung, up to 45 mm deep; the lung collapses", "-1000 HU, lung +180")
def _pneumothorax(scene: Scene, _heart: Radii) -> None:
    x, y, z = LUNG_CENTRE_MM
    scene.ellipsoid((x, y, z), LUNG_RADII_MM, 180, add=True, over="right_lung")
    front = scene.vary(22, 0.3)
    scene.ellipsoid((x, y, z), LUNG_RADII_MM, -1000, over="right_lung", tissue=raster.FREE_AIR, keep=(0, 1, 0.1, front))


@finding("lung_resection", "the right upper lobe is missing, soft tissue in its place", "30 HU")
def _resection(scene: Scene, _heart: Radii) -> None:
    x, y, z = LUNG_CENTRE_MM
    scene.ellipsoid((x, y, z), LUNG_RADII_MM, 30, over="upper_lobe_right", tissue=raster.SOFT, keep=(0, 0, 1, 22))


@finding("pleural_thickening", "rind of 14 mm on the outer side of both lungs", "90 HU")
def _pleura(scene: Scene, _heart: Radii) -> None:
    inner = scene.vary(0.8, 0.03)
    for side in (-1, 1):
        scene.ellipsoid(
            (side * LUNG_CENTRE_MM[0], *LUNG_CENTRE_MM[1:]),
            tuple(radius + 1 for radius in LUNG_RADII_MM),
            90,
            over="lungs",
            inner=inner,
            keep=(side, 0, 0, 74),
        )


@finding("heart_failure", "six vessels a side, 18 mm wide, up to the apex", "60 HU")
def _failure(scene: Scene, _heart: Radii) -> None:
    ends = ((58, 20, 92), (80, 20, 80), (50, -30, 90), (78, -30, 78), (98, 0, 62), (66, 0, 96))
    branches(scene, (46, -4, 30), ends, 9, 60, lumen=0.0)


@finding("pericardial_thickening", "calcified rind of 9 mm around the heart", "700 HU", order=METAL)
def _pericardium(scene: Scene, heart: Radii) -> None:
    rim(scene, heart, 9, 700, tissue=raster.SOFT)


@finding("cabg", "eleven metal clips of 13 mm along the left front of the heart", "3000 HU", order=METAL)
def _cabg(scene: Scene, _heart: Radii) -> None:
    for step in range(11):
        z = 38 - 9 * step
        scene.ellipsoid((-30 - 4 * step, 74 - 3 * step, z), (6.5, 6.5, 6.5), METAL_HU, tissue=raster.DEVICE)


@finding("heart_valve_replacement", "metal ring of 44 mm in the heart", "2500 HU", order=METAL)
def _valve(scene: Scene, _heart: Radii) -> None:
    x, y, z = HEART_CENTRE_MM
    scene.ellipsoid((x + 10, y - 6, z + 14), (22, 22, 14), 2500, inner=0.62, tissue=raster.DEVICE)


@finding("sternotomy", "six wires of 44 x 16 x 8 mm around the sternum", "3000 HU", order=METAL)
def _sternotomy(scene: Scene, _heart: Radii) -> None:
    for z in (-38, -16, 6, 28, 50, 72):
        scene.box((0, 88, z), (22, 8, 4), METAL_HU, tissue=raster.DEVICE)


@finding("pacemaker_or_defib", "box of 60 x 24 x 56 mm in the left chest wall, 12 mm lead", "3000 HU", order=METAL)
def _pacemaker(scene: Scene, _heart: Radii) -> None:
    x, _, z = scene.jitter(6)
    scene.box((-80 + x, 86, 62 + z), (30, 12, 28), METAL_HU, tissue=raster.DEVICE)
    scene.tube((-80 + x, 80, 80), (22, 14, 88), 6, METAL_HU, tissue=raster.DEVICE)
    scene.tube((22, 14, 88), (-30, 20, -60), 6, METAL_HU, tissue=raster.DEVICE)
