"""Does the patient lie as the header says? Anatomy that contradicts the axes is flagged ``orientation_doubtful``.

Swapped or flipped axes leave a picture that looks sound and labels that are wrong. Every scan that shows two lungs is
asked whether its axes are in order and where its right, its front and its head are: by its own voxels
(:mod:`~uniferum.preprocessing.cues`) and by the organs of a TotalSegmentator mask where there is one. A scan with too
little to see, a limb or half a thorax, gives no verdict. About one person in 10,000 is built as a mirror image (situs
inversus), so a note says how the scan looks, not what it is.
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

# Probability of a wrong header, at even odds before the picture is seen, from which it is doubted. Measured
# (tests/hard_data/test_orientations.py): sound scans stay below 0.87, turned whole thoraces lie above 0.97.
DOUBTFUL = 0.95
_WORDS: dict[Question, str] = {
    "axes": "the axes look permuted",
    "left_right": "left and right look exchanged",
    "front_back": "front and back look exchanged",
    "head_foot": "head and foot look exchanged",
}


@dataclass(frozen=True)
class Labels:
    """A mask that names lungs.

    Attributes:
        ids: RAS+ axes.
        affine: its voxel index to RAS mm.
        lungs: the ids that are lung; empty where the mask's lungs are not to be believed.
        organs: whether ids are TotalSegmentator v2's.
    """

    ids: UInt8[np.ndarray, "x y z"]
    affine: np.ndarray
    lungs: tuple[int, ...]
    organs: bool


def labels_of(masks: list[RawMask], lung_layers: tuple[str, ...], *, lungs_seen: bool) -> list[Labels]:
    """The masks that name lungs or organs.

    Args:
        masks: of a scan.
        lung_layers: binary layers that are lungs.
        lungs_seen: whether their lungs were found and hold air.
    """
    labels = []
    for mask in masks:
        organs_named = mask.source.layer == "totalsegmentator"
        if organs_named or mask.source.layer in lung_layers:
            ids = LUNG_IDS if organs_named else (1,)
            labels.append(Labels(mask.ids, mask.affine, ids if lungs_seen else (), organs_named))
    return labels


def doubts(small: Volume, masks: list[Labels]) -> list[str]:
    """Notes on what looks wrong with the axes, each with its reasons and its probability; none where all is well.

    Args:
        small: block means of the clipped scan, RAS+ as its header claims.
        masks: of the same scan.
    """
    grid = landmarks.coarse(small)
    lungs, seen = None, []
    for mask in masks:
        ids = resampling.nearest(mask.ids, np.linalg.inv(mask.affine) @ grid.affine, grid.shape)
        if lungs is None and mask.lungs:
            lungs = np.isin(ids, mask.lungs)
        if mask.organs:
            seen += organs.of_mask(ids, np.array(grid.spacing_mm))
    chest = landmarks.look(small, grid, lungs)
    return verdict(seen if chest is None else seen + cues.of_chest(chest))


def verdict(evidence: list[Cue]) -> list[str]:
    """A note for each question whose log-odds add up against the header; where axes are permuted, for that alone."""
    notes = []
    for question, words in _WORDS.items():
        asked = [cue for cue in evidence if cue.question == question]
        wrong = 1 / (1 + math.exp(sum(cue.log_odds for cue in asked)))
        if wrong < DOUBTFUL:
            continue
        reasons = [cue.against for cue in sorted(asked, key=lambda cue: cue.log_odds) if cue.log_odds < -0.5]
        value = "above 0.99" if wrong > 0.995 else f"{wrong:.2f}"
        notes.append(f"{' and '.join(dict.fromkeys(reasons[:2]))}: {words}, probability {value}")
        if question == "axes":
            break
    return notes
