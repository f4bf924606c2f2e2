"""RAD-ChestCT's layout: npz volumes without an affine, and 84 x 52 columns of abnormality and location."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from uniferum.data.phantom.cases import PhantomCase, draw_case
from uniferum.data.phantom.config import PhantomConfig
from uniferum.data.phantom.layouts import Order, numbered, table
from uniferum.data.vocabulary import Vocabulary

# The 84 abnormalities and 52 locations of the release (rachellea/ct-net-models; `other_path` is the 84th).
_ABNORMALITIES = """
air_trapping airspace_disease aneurysm arthritis aspiration atelectasis atherosclerosis bandlike_or_linear
breast_implant breast_surgery bronchial_wall_thickening bronchiectasis bronchiolectasis bronchiolitis bronchitis cabg
calcification cancer cardiomegaly catheter_or_port cavitation chest_tube clip congestion consolidation
coronary_artery_disease cyst debris deformity density dilation_or_ectasia distention emphysema fibrosis fracture
gi_tube granuloma groundglass hardware heart_failure heart_valve_replacement hemothorax hernia honeycombing infection
infiltrate inflammation interstitial_lung_disease lesion lucency lung_resection lymphadenopathy mass mucous_plugging
nodule nodulegr1cm opacity other_path pacemaker_or_defib pericardial_effusion pericardial_thickening plaque
pleural_effusion pleural_thickening pneumonia pneumonitis pneumothorax postsurgical pulmonary_edema reticulation
scarring scattered_calc scattered_nod secretion septal_thickening soft_tissue staple stent sternotomy suture
tracheal_tube transplant tree_in_bud tuberculosis
"""
ABNORMALITIES = tuple(_ABNORMALITIES.split())
_LOCATIONS = """
abdomen adrenal_gland airways anterior aorta aortic_valve axilla bone breast centrilobular chest_wall diaphragm
esophagus gallbladder heart hilum inferior interstitial intestine ivc kidney lateral left left_lower left_lung
left_mid left_upper liver lung medial mediastinum mitral_valve other_location pancreas posterior pulmonary_artery
pulmonary_valve pulmonary_vein rib right right_lower right_lung right_mid right_upper spine spleen stomach subpleural
superior svc thyroid tricuspid_valve
"""
LOCATIONS = tuple(_LOCATIONS.split())
TABLES = {"train": ("trn", "imgtrain"), "validation": ("val", "imgvalid"), "test": ("tst", "imgtest")}
IN_HEART = {"cabg", "cardiomegaly", "coronary_artery_disease", "heart_failure", "heart_valve_replacement",
            "pacemaker_or_defib", "pericardial_effusion", "pericardial_thickening"}  # fmt: skip


def rad_chest_orders(config: PhantomConfig) -> list[Order]:
    """One npz per scan; the prefix of its name gives its split."""
    orders = []
    for split, number, case in numbered(config.rad_chest):
        name = f"{TABLES[split][0]}{number + 1:05d}"
        orders.append(Order("RADCHEST", name, case, case, f"{name}.npz", f"ts_total/{name}.nii.gz"))
    return orders


def rad_chest_tables(root: Path, config: PhantomConfig, orders: Sequence[Order]) -> None:
    """Write three label tables of 4,368 columns, and the metadata with the patients."""
    columns = Vocabulary.load().columns("RADCHEST")
    names = [f"{abnormality}*{location}" for abnormality in ABNORMALITIES for location in LOCATIONS]
    for prefix, part in TABLES.values():
        table(
            root / f"{part}_Abnormality_and_Location_Labels.csv",
            ["NoteAcc_DEID", *names],
            (
                [order.name, *_row(draw_case(config.seed, "RADCHEST", order.case), columns)]
                for order in orders
                if order.name.startswith(prefix)
            ),
        )
    table(
        root / "CT_Scan_Metadata_Complete_35747.csv",
        ["NoteAcc_DEID", "MRN_DEID", "VolumeAcc_DEID"],
        ([order.name, f"MRN{order.case:06d}", f"{order.name}.npz"] for order in orders),
    )


def _row(case: PhantomCase, columns: dict[str, str]) -> Iterator[Any]:
    """0 or 1 for each abnormality and location; a finding has one location, heart or lung."""
    positive = {columns[label] for label, value in case.labels.items() if value == 1}
    for abnormality in ABNORMALITIES:
        finding_location = ("heart" if abnormality in IN_HEART else "lung") if abnormality in positive else ""
        yield from (int(location == finding_location) for location in LOCATIONS)
