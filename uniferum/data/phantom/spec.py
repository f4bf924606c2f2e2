"""Specification of one phantom as data, drawn only from (seed, cohort, index)."""

from dataclasses import dataclass, field

import numpy as np

from uniferum.data.phantom.anatomy import ARTERY_SCALE_HYPERTENSION, CARDIOMEGALY_SCALE, Build, draw, heart_radii
from uniferum.data.phantom.drawing import FINDINGS
from uniferum.data.phantom.scene import Scene

# Number of each cohort's random stream; with other numbers, a seed gives other phantoms.
COHORT_STREAM = {"CTRATE": 1, "INSPECT": 2, "RADCHEST": 3, "LUNA16": 4}


@dataclass(frozen=True)
class Nodule:
    """A sphere in a lung, in atlas mm."""

    centre: tuple[float, float, float]
    radius: float


@dataclass(frozen=True)
class PhantomSpec:
    """All properties of a phantom's body, independent of the grid."""

    seed: int
    findings: tuple[str, ...] = ()
    build: Build = field(default_factory=Build)
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    nodules: tuple[Nodule, ...] = ()

    def __post_init__(self) -> None:
        unknown = set(self.findings) - set(FINDINGS)
        assert not unknown, f"not drawn: {sorted(unknown)}"


def rng_of(seed: int, cohort: str, index: int) -> np.random.Generator:
    """Random generator of one phantom, independent of the number of workers and of their order."""
    return np.random.default_rng([seed, COHORT_STREAM[cohort], index])


def vary_body(
    rng: np.random.Generator,
    findings: tuple[str, ...],
    *,
    blood_hu: float = 45.0,
    artery_hu: float = 45.0,
    nodules: tuple[Nodule, ...] = (),
) -> PhantomSpec:
    """Draw the variations of a body: size within 6 %, position within 6 mm, lungs within 15 HU of -765."""
    heart = float(rng.uniform(0.96, 1.04)) * (CARDIOMEGALY_SCALE if "cardiomegaly" in findings else 1.0)
    artery = ARTERY_SCALE_HYPERTENSION if "pulmonary_hypertension" in findings else 1.0
    size = rng.normal(1.0, 0.02)
    scale = np.clip(size + rng.normal(0.0, 0.012, 3), 0.94, 1.06)
    return PhantomSpec(
        seed=int(rng.integers(2**31)),
        findings=findings,
        build=Build(float(rng.uniform(-780, -750)), blood_hu, artery_hu, heart, artery),
        scale=(float(scale[0]), float(scale[1]), float(scale[2])),
        shift_mm=tuple(float(v) for v in rng.uniform(-6, 6, 3)),  # pyright: ignore[reportArgumentType]
        nodules=nodules,
    )


def shapes_of(spec: PhantomSpec) -> np.ndarray:
    """The phantom's shapes in painting order: anatomy, textures, dense findings, nodules, metal."""
    scene = Scene(np.random.default_rng(spec.seed))
    draw(scene, spec.build)
    present = [name for name in FINDINGS if name in spec.findings]
    for name in sorted(present, key=lambda name: FINDINGS[name].order):
        drawing = FINDINGS[name].draw
        if drawing is not None:
            drawing(scene, heart_radii(spec.build))
    for nodule in spec.nodules:
        scene.ellipsoid(nodule.centre, (nodule.radius,) * 3, 110, over="lungs")
    return scene.table()


def world_mm(spec: PhantomSpec, point: tuple[float, float, float], centre_mm: tuple[float, float, float]) -> np.ndarray:
    """Position of an atlas point of the phantom in its rendered volume, RAS mm."""
    return np.asarray(point) * np.asarray(spec.scale) + np.asarray(spec.shift_mm) + np.asarray(centre_mm)
