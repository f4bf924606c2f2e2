"""Visible findings: how each is drawn, its size, and its contrast to the tissue that it replaces.

They are intentionally larger and stronger than in real chests: a demo that trains for a minute on 8 mm voxels must be
able to learn them. Sizes and contrasts in the table are those of the drawing code below them.
"""

from uniferum.data.phantom import raster
from uniferum.data.phantom.anatomy import AORTA, HEART_CENTRE_MM, LUNG_CENTRE_MM, LUNG_RADII_MM
from uniferum.data.phantom.drawing import (
    DENSE,
    FINDINGS,
    METAL,
    METAL_HU,
    TEXTURE,
    Finding,
    Radii,
    both,
    branches,
    finding,
    nodule_centre,
    rim,
)
from uniferum.data.phantom.scene import Scene

# Drawn by the anatomy itself (anatomy.Build), without a further shape.
FINDINGS["cardiomegaly"] = Finding(
    None, DENSE, "heart 1.34 times as wide, deep and high (145 mm wide)", "45 HU in lung of -765"
)
FINDINGS["pulmonary_hypertension"] = Finding(
    None, DENSE, "pulmonary arteries 1.75 times as wide", "450 HU in fat and lung"
)


@finding(
    "emphysema",
    "24 mm holes in the upper two thirds of both lungs",
    "-1000 HU in lung of -765, which falls by 90",
    order=TEXTURE,
)
def _emphysema(scene: Scene, _heart: Radii) -> None:
    how = {"over": "lungs", "keep": (0, 0, 1, scene.vary(-15, 0.5))}
    both(scene, LUNG_CENTRE_MM, LUNG_RADII_MM, -90, add=True, **how)
    both(scene, LUNG_CENTRE_MM, LUNG_RADII_MM, -1000, pattern="cells", period=25, fill=0.48, **how)


@finding(
    "mosaic_attenuation_pattern",
    "chequer of 34 mm cubes through both lungs",
    "+260 HU in every other cube",
    order=TEXTURE,
)
def _mosaic(scene: Scene, _heart: Radii) -> None:
    both(scene, LUNG_CENTRE_MM, LUNG_RADII_MM, 260, add=True, over="lungs", pattern="chequer", period=34)


@finding("lung_opacity", "ground-glass cloud of 84 x 70 x 100 mm in the front of each lung", "+340 HU", order=TEXTURE)
def _opacity(scene: Scene, _heart: Radii) -> None:
    both(scene, (76, 38, 18), (42, scene.vary(35), scene.vary(50)), 340, add=True, over="lungs")


@finding(
    "interlobular_septal_thickening", "lattice of 7 mm sheets each 28 mm, outer lower lungs", "+560 HU", order=TEXTURE
)
def _septal(scene: Scene, _heart: Radii) -> None:
    for side in (-1, 1):
        scene.ellipsoid(
            (side * 106, -6, -45),
            (42, 85, scene.vary(62)),
            560,
            add=True,
            over="lungs",
            pattern="lattice",
            period=28,
            fill=0.25,
        )


@finding("consolidation", "dense block of 84 mm in the right middle and lower lobes", "40 HU, with air bronchograms")
def _consolidation(scene: Scene, _heart: Radii) -> None:
    x, y, z = scene.jitter(7)
    radius = scene.vary(42)
    scene.ellipsoid((78 + x, 30 + y, -32 + z), (radius, radius, radius), 40, over="right_lung")
    scene.tube((55, 20, -10), (95 + x, 40 + y, -50 + z), 4, -900, over="right_lung")


@finding("atelectasis", "collapsed left lower lobe below its middle, 60 mm high", "35 HU")
def _atelectasis(scene: Scene, _heart: Radii) -> None:
    top = scene.vary(-32, 0.2)
    x, y, z = LUNG_CENTRE_MM
    scene.ellipsoid((-x, y, z), LUNG_RADII_MM, 35, over="left_lung", keep=(0, -0.3, -1, -top))


@finding("pleural_effusion", "dependent fluid behind both lungs, up to 45 mm deep and 110 mm high", "8 HU")
def _effusion(scene: Scene, _heart: Radii) -> None:
    depth = scene.vary(45)
    both(scene, (72, -86, -88), (80, depth, scene.vary(112)), 8, over="lungs", tissue=raster.FLUID)


@finding("pulmonary_fibrotic_sequela", "dense bands, 10 mm each 16 mm, in both apices (top 50 mm)", "20 HU")
def _sequela(scene: Scene, _heart: Radii) -> None:
    how = {"over": "lungs", "keep": (0, 0, 1, scene.vary(58)), "pattern": "bands", "period": 16, "fill": 0.65}
    both(scene, LUNG_CENTRE_MM, LUNG_RADII_MM, 20, **how)


@finding("bronchiectasis", "five tubes of 26 mm a side, hilum to lower lobe, 15 mm air inside", "wall 20, air -1000 HU")
def _bronchiectasis(scene: Scene, _heart: Radii) -> None:
    ends = ((95, 45, -55), (112, 15, -62), (116, -20, -50), (104, -50, -42), (84, -5, -78))
    branches(scene, (52, -8, 0), ends, 13, 20, lumen=0.58)


@finding("peribronchial_thickening", "five cuffs of 22 mm a side, hilum to upper lobe, 6 mm air", "wall 60 HU")
def _peribronchial(scene: Scene, _heart: Radii) -> None:
    ends = ((92, 42, 62), (104, 12, 72), (102, -28, 66), (76, -45, 74), (112, -10, 30))
    branches(scene, (46, -14, 22), ends, 11, 60, lumen=0.28)


@finding("lung_nodule", "six to eight spheres of 28 to 36 mm, anywhere in the lungs", "110 HU")
def _nodules(scene: Scene, _heart: Radii) -> None:
    for _ in range(int(scene.rng.integers(6, 9))):
        centre, radius = nodule_centre(scene), float(scene.rng.uniform(14, 18))
        scene.ellipsoid(centre, (radius, radius, radius), 110, over="lungs")


@finding("lymphadenopathy", "seven mediastinal masses of 36 to 44 mm", "75 HU in fat of -70 and lung")
def _nodes(scene: Scene, _heart: Radii) -> None:
    centres = ((30, -4, 76), (-28, -2, 82), (34, 22, 52), (-30, 24, 58), (0, 44, 70), (32, -36, 46), (2, -34, 24))
    for x, y, z in centres:
        dx, dy, dz = scene.jitter(4)
        radius = scene.vary(20)
        scene.ellipsoid((x + dx, y + dy, z + dz), (radius, radius, radius), 75, over="inside_chest", tissue=raster.SOFT)


@finding("hiatal_hernia", "mass of 80 x 56 x 76 mm behind the heart, two thirds air", "45 HU wall, -950 inside")
def _hernia(scene: Scene, _heart: Radii) -> None:
    x, y, z = scene.jitter(5)
    centre = (8 + x, -42 + y, -58 + z)
    scene.ellipsoid(centre, (40, 28, 38), 45, over="not_bone", tissue=raster.SOFT)
    scene.ellipsoid(centre, (33, 22, 31), -950, over="not_bone", keep=(0, 0, 1, centre[2] - 12))


@finding(
    "medical_material",
    "port of 56 x 24 x 56 mm in the right chest wall, 12 mm catheter to the heart",
    "3000 HU",
    order=METAL,
)
def _material(scene: Scene, _heart: Radii) -> None:
    x, _, z = scene.jitter(6)
    scene.box((76 + x, 86, 62 + z), (28, 12, 28), METAL_HU, tissue=raster.DEVICE)
    scene.tube((76 + x, 82, 80), (25, 14, 92), 6, METAL_HU, tissue=raster.DEVICE)
    scene.tube((25, 14, 92), (22, 16, -20), 6, METAL_HU, tissue=raster.DEVICE)


@finding("arterial_wall_calcification", "shell, 8 mm thick, around the whole aorta", "1000 HU", order=METAL)
def _aortic_shell(scene: Scene, _heart: Radii) -> None:
    for start, end, radius in AORTA:
        scene.tube(start, end, radius + 3, 1000, over="not_bone", tissue=52, inner=(radius - 5) / (radius + 3))


@finding(
    "coronary_artery_wall_calcification", "ten balls of 18 mm along three courses on the heart", "1300 HU", order=METAL
)
def _coronaries(scene: Scene, heart: Radii) -> None:
    ways = (
        (-0.15, 0.9, 0.4), (-0.35, 0.9, 0.05), (-0.5, 0.8, -0.3), (-0.6, 0.65, -0.55),
        (0.6, 0.7, 0.3), (0.75, 0.6, -0.05), (0.65, 0.55, -0.5),
        (-0.9, 0.2, 0.35), (-0.97, 0.1, 0.0), (-0.9, 0.05, -0.4),
    )  # fmt: skip
    x, y, z = HEART_CENTRE_MM
    for dx, dy, dz in ways:
        centre = (x + 0.88 * heart[0] * dx, y + 0.88 * heart[1] * dy, z + 0.88 * heart[2] * dz)
        scene.ellipsoid(centre, (9, 9, 9), 1300, over="not_bone")


@finding("pericardial_effusion", "22 mm of fluid outside 8 mm of fat, all around the heart", "15 HU, fat -110")
def _pericardial(scene: Scene, heart: Radii) -> None:
    depth = scene.vary(22)
    rim(scene, heart, 8 + depth, 15, tissue=raster.FLUID)
    rim(scene, heart, 8, -110, tissue=raster.FAT)


@finding("pulmonary_embolism", "dark plugs through main and lobar arteries, 20 to 32 mm wide", "20 HU in blood of 450")
def _embolism(scene: Scene, _heart: Radii) -> None:
    for side, reach in ((1, scene.vary(62)), (-1, scene.vary(62))):
        scene.ellipsoid((side * 52, -12, 8), (42, 46, reach), 20, over="arteries")
    scene.ellipsoid((0, 4, 30), (30, 20, 20), 20, over="arteries")
