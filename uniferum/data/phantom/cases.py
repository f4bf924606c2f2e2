"""Draw the findings of a cohort's phantoms, and derive the labels.

A label is 1 exactly if its finding is drawn (or one of its findings). INSPECT's outcomes are noisy functions of
findings, some of them censored. A label that is not drawn is always 0.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from uniferum.data.phantom.spec import Nodule, PhantomSpec, rng_of, vary_body

# CT-RATE's 18 labels, in the column order of its label file; each is drawn as the finding with this name.
CT_RATE_LABELS = (
    "medical_material", "arterial_wall_calcification", "cardiomegaly", "pericardial_effusion",
    "coronary_artery_wall_calcification", "hiatal_hernia", "lymphadenopathy", "emphysema", "atelectasis",
    "lung_nodule", "lung_opacity", "pulmonary_fibrotic_sequela", "pleural_effusion", "mosaic_attenuation_pattern",
    "peribronchial_thickening", "consolidation", "bronchiectasis", "interlobular_septal_thickening",
)  # fmt: skip

# INSPECT's 12 report labels (paper 3.4.3).
INSPECT_REPORT_LABELS = (
    "atelectasis", "bronchiectasis", "cardiomegaly", "consolidation", "coronary_artery_wall_calcification", "emphysema",
    "hiatal_hernia", "interlobular_septal_thickening", "lung_nodule", "peribronchial_thickening",
    "pericardial_effusion", "pleural_effusion",
)  # fmt: skip

# RAD-ChestCT: label and the findings of which any makes it positive.
RAD_CHEST_LABELS: Mapping[str, tuple[str, ...]] = {
    **{
        name: (name,)
        for name in (
            "atelectasis", "bronchiectasis", "cardiomegaly", "consolidation", "emphysema", "pericardial_effusion",
            "pleural_effusion", "air_trapping", "airspace_disease", "aspiration", "bandlike_or_linear", "cabg",
            "heart_failure", "heart_valve_replacement", "hemothorax", "honeycombing", "infiltrate", "lung_resection",
            "mucous_plugging", "pacemaker_or_defib", "pericardial_thickening", "pleural_thickening", "pneumonia",
            "pneumonitis", "pneumothorax", "pulmonary_edema", "reticulation", "scattered_nodules", "sternotomy",
            "tree_in_bud", "tuberculosis",
        )
    },
    "bronchial_wall_thickening": ("peribronchial_thickening",),
    "coronary_artery_disease": ("coronary_artery_wall_calcification",),
    "ground_glass": ("lung_opacity",),
    "septal_thickening": ("interlobular_septal_thickening",),
    "interstitial_lung_disease": ("honeycombing", "reticulation"),
    "bronchiolectasis": (),
    "bronchiolitis": (),
    "bronchitis": (),
}  # fmt: skip

PREVALENCE = {"CTRATE": 0.42, "INSPECT": 0.4, "RADCHEST": 0.2}
INSPECT_FINDINGS = ("pulmonary_embolism", "pulmonary_hypertension", *INSPECT_REPORT_LABELS)
OUTCOMES = (
    "1_month_mortality", "6_month_mortality", "12_month_mortality",
    "1_month_readmission", "6_month_readmission", "12_month_readmission", "12_month_PH",
)  # fmt: skip

# Log-odds that a finding adds to each kind of outcome, and the standard deviation of risk that no image shows.
RISK: Mapping[str, Mapping[str, float]] = {
    "mortality": {"pleural_effusion": 3.0, "consolidation": 2.0, "atelectasis": 1.5, "pulmonary_embolism": 1.0},
    "readmission": {"cardiomegaly": 2.5, "emphysema": 2.5, "pericardial_effusion": 1.5},
    "PH": {"pulmonary_hypertension": 4.0, "pulmonary_embolism": 1.5},
}
RISK_NOISE = 0.8
# Threshold of an outcome above the mean risk: earlier outcomes need a higher risk.
THRESHOLD = {"1_month": 0.9, "6_month": 0.2, "12_month": -0.4}
CENSORED_SHARE = 0.08


@dataclass(frozen=True)
class PhantomCase:
    """A phantom and its labels: 0, 1, or None if censored."""

    spec: PhantomSpec
    labels: Mapping[str, int | None]


def findings_of(cohort: str) -> tuple[str, ...]:
    """All findings that phantoms of a cohort can have."""
    if cohort == "CTRATE":
        return CT_RATE_LABELS
    if cohort == "INSPECT":
        return INSPECT_FINDINGS
    if cohort == "RADCHEST":
        return tuple(sorted({name for names in RAD_CHEST_LABELS.values() for name in names}))
    return ()


def draw_case(seed: int, cohort: str, index: int) -> PhantomCase:
    """Draw phantom ``index`` of a cohort, with its labels."""
    rng = rng_of(seed, cohort, index)
    present = tuple(name for name in findings_of(cohort) if rng.random() < PREVALENCE[cohort])
    if cohort == "LUNA16":
        return PhantomCase(vary_body(rng, (), nodules=_nodules(rng)), {})
    blood, artery = _contrast(rng, cohort)
    labels = _labels(rng, cohort, present)
    return PhantomCase(vary_body(rng, present, blood_hu=blood, artery_hu=artery), labels)


def _contrast(rng: np.random.Generator, cohort: str) -> tuple[float, float]:
    """HU of the blood in heart and aorta, and in the pulmonary arteries."""
    if cohort == "INSPECT":
        return float(rng.uniform(180, 240)), float(rng.uniform(420, 480))
    if cohort == "RADCHEST" and rng.random() < 0.4:
        return float(rng.uniform(130, 170)), float(rng.uniform(130, 170))
    return 45.0, 45.0


def _labels(rng: np.random.Generator, cohort: str, present: tuple[str, ...]) -> dict[str, int | None]:
    if cohort == "CTRATE":
        return {name: int(name in present) for name in CT_RATE_LABELS}
    if cohort == "RADCHEST":
        return {label: int(any(name in present for name in names)) for label, names in RAD_CHEST_LABELS.items()}
    labels: dict[str, int | None] = {name: int(name in present) for name in INSPECT_REPORT_LABELS}
    labels["pulmonary_embolism"] = int("pulmonary_embolism" in present)
    return labels | outcomes(rng, present)


def outcomes(rng: np.random.Generator, present: tuple[str, ...]) -> dict[str, int | None]:
    """INSPECT's seven outcomes: an earlier outcome implies the later ones; None is censored.

    The mean risk is the expected sum over findings, so prevalence does not depend on the weights.
    """
    result: dict[str, int | None] = {}
    for kind, weights in RISK.items():
        mean = sum(weights.values()) * PREVALENCE["INSPECT"]
        spread = math.sqrt(sum(w * w for w in weights.values()) * PREVALENCE["INSPECT"] * (1 - PREVALENCE["INSPECT"]))
        risk = sum(w for name, w in weights.items() if name in present) - mean + rng.normal(0, RISK_NOISE)
        for outcome in OUTCOMES:
            if outcome.endswith(kind):
                when = outcome.removesuffix(f"_{kind}")
                result[outcome] = int(risk > THRESHOLD[when] * spread)
    for outcome in OUTCOMES:
        if rng.random() < CENSORED_SHARE:
            result[outcome] = None
    return {outcome: result[outcome] for outcome in OUTCOMES}


def _nodules(rng: np.random.Generator) -> tuple[Nodule, ...]:
    """Draw one to four spheres of 20 to 34 mm, or none in one of six scans, as in LUNA16 (287 of 888)."""
    if rng.random() < 1 / 6:
        return ()
    from uniferum.data.phantom.drawing import nodule_centre
    from uniferum.data.phantom.scene import Scene

    scene = Scene(rng)
    return tuple(Nodule(nodule_centre(scene), float(rng.uniform(10, 17))) for _ in range(int(rng.integers(1, 5))))
