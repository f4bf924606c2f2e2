"""Check the axes of a scan against its anatomy; contradictions are flagged ``orientation_doubtful``.

Swapped or flipped axes give images that look right and labels that are wrong. For every scan with two visible lungs,
the order of the axes and the directions right, front and head are judged by the scan's voxels
(:mod:`~uniferum.preprocessing.cues`) and by the organs of a TotalSegmentator mask, if there is one. Scans that show
too little, such as a limb or half a thorax, are not judged. About one person in 10,000 has mirrored organs (situs
inversus), so a note says only how the scan looks.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from uniferum.preprocessing import cues, landmarks, organs, resampling
from uniferum.preprocessing.cues import Cue, Question
from uniferum.preprocessing.lungs import LUNG_IDS
from uniferum.preprocessing.masks.layers import RawMask
from uniferum.preprocessing.volume import Volume

# Probability of a wrong header (prior 0.5) above which the scan is flagged. Measured by
# tests/hard_data/test_orientations.py: correct scans stay below 0.87, whole thoraces with wrong axes are above 0.97.
DOUBTFUL = 0.95
_WORDS: dict[Question, str] = {
    "axes": "the axes look permuted",
    "left_right": "left and right look exchanged",
    "front_back": "front and back look exchanged",
    "head_foot": "head and foot look exchanged",
}


@dataclass(frozen=True)
class Labels:
    """A mask with label ids of lungs or organs.

    Attributes:
        ids: label ids, RAS+ axes.
        affine: voxel index of the mask to RAS mm.
        lungs: the ids of lung; empty if the mask's lungs are not reliable.
        organs: whether the ids are those of TotalSegmentator v2.
    """

    ids: UInt8[np.ndarray, "x y z"]
    affine: np.ndarray
    lungs: tuple[int, ...]
    organs: bool


def labels_of(masks: list[RawMask], lung_layers: tuple[str, ...], *, lungs_seen: bool) -> list[Labels]:
    """Select the masks that label lungs or organs.

    Args:
        masks: all masks of a scan.
        lung_layers: names of the binary layers that are lungs.
        lungs_seen: whether the masks' lungs exist and contain air.
    """
    labels = []
    for mask in masks:
        organs_named = mask.source.layer == "totalsegmentator"
        if organs_named or mask.source.layer in lung_layers:
            ids = LUNG_IDS if organs_named else (1,)
            labels.append(Labels(mask.ids, mask.affine, ids if lungs_seen else (), organs_named))
    return labels


def doubts(small: Volume, masks: list[Labels]) -> list[str]:
    """Notes on axes that contradict the anatomy, with reasons and probability; none if the axes look right.

    Args:
        small: block means of the clipped scan, RAS+ as in its header.
        masks: the masks of the same scan.
    """
    grid = landmarks.coarse(small)
    lungs, evidence_of_organs = None, []
    for mask in masks:
        ids = resampling.nearest(mask.ids, np.linalg.inv(mask.affine) @ grid.affine, grid.shape)
        if lungs is None and mask.lungs:
            lungs = np.isin(ids, mask.lungs)
        if mask.organs:
            evidence_of_organs += organs.of_mask(ids, np.array(grid.spacing_mm))
    chest = landmarks.look(small, grid, lungs)
    return verdict(evidence_of_organs if chest is None else evidence_of_organs + cues.of_chest(chest))


def verdict(evidence: list[Cue]) -> list[str]:
    """A note for each question whose evidence contradicts the header; for permuted axes only that note."""
    notes = []
    for question, words in _WORDS.items():
        relevant = [cue for cue in evidence if cue.question == question]
        wrong = 1 / (1 + math.exp(sum(cue.log_odds for cue in relevant)))
        if wrong < DOUBTFUL:
            continue
        reasons = [cue.against for cue in sorted(relevant, key=lambda cue: cue.log_odds) if cue.log_odds < -0.5]
        value = "above 0.99" if wrong > 0.995 else f"{wrong:.2f}"
        notes.append(f"{' and '.join(dict.fromkeys(reasons[:2]))}: {words}, probability {value}")
        if question == "axes":
            break
    return notes
