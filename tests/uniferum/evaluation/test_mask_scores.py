"""Mask scores: by hand, against MONAI, and the note on empty masks."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from uniferum.errors import UniferumError
from uniferum.evaluation.mask_counts import spread_out
from uniferum.evaluation.mask_scores import mask_table, metric_values, score_masks
from uniferum.evaluation.mask_words import mask_note
from uniferum.evaluation.masks import dice as dice_of_case


def row(scan, structure, target, drawn, overlap, cohort="CTRATE"):
    ids = {"volume_id": f"{cohort}/{scan}", "scan_id": scan, "patient_id": f"p{scan}", "split": "test"}
    counts = {"target_voxels": target, "drawn_voxels": drawn, "overlap_voxels": overlap}
    return {"cohort": cohort, "group": "organ", "structure": structure, **ids, **counts}


def test_means_are_over_scans_that_have_the_structure_then_over_structures():
    scores = score_masks(
        mask_table([row("a", "heart", 10, 10, 5), row("b", "heart", 10, 20, 10), row("a", "liver", 4, 0, 0)])
    )
    heart, liver = scores.structures.to_dict("records")
    assert heart["n_scans"] == 2
    assert heart["dice"] == pytest.approx((0.5 + 2 / 3) / 2)
    assert heart["mask_sensitivity"] == pytest.approx(0.75)
    assert heart["volume_error"] == pytest.approx(0.5)
    assert (liver["dice"], liver["mask_sensitivity"], liver["volume_error"]) == (0, 0, 1)
    (cohort,) = scores.cohorts.to_dict("records")
    assert (cohort["n_structures"], cohort["n_empty"]) == (2, 1)
    assert cohort["dice"] == pytest.approx(heart["dice"] / 2)
    values = metric_values(scores, "test")
    assert values["test/dice/CTRATE/heart"] == pytest.approx(heart["dice"])
    assert values["test/volume_error/CTRATE"] == pytest.approx(0.75)


def test_dice_and_sensitivity_are_those_of_monai():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from monai.metrics import compute_dice, get_confusion_matrix
        from monai.metrics.confusion_matrix import compute_confusion_matrix_metric
    random = np.random.default_rng(0)
    target, drawn = (torch.from_numpy(random.random((3, 4, 8, 7, 6)) < share).float() for share in (0.2, 0.3))
    drawn[0, 0] = 0
    dice = compute_dice(drawn, target, include_background=True)
    sensitivity = compute_confusion_matrix_metric("sensitivity", get_confusion_matrix(drawn, target))
    counts = torch.stack([target, drawn, target * drawn]).flatten(3).sum(3).long()
    rows = [row(str(scan), f"s{at}", *counts[:, scan, at].tolist()) for scan in range(3) for at in range(4)]
    scores = score_masks(mask_table(rows)).structures
    np.testing.assert_allclose(scores["dice"], dice.mean(0))
    np.testing.assert_allclose(scores["mask_sensitivity"], sensitivity.mean(0))
    pairs = zip(drawn.flatten(0, 1).numpy(), target.flatten(0, 1).numpy(), strict=True)
    np.testing.assert_allclose([dice_of_case(a, b) for a, b in pairs], dice.flatten())


def summary(cohort, structures, empty):
    return {"cohort": cohort, "n_structures": structures, "n_empty": empty}


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        (None, ""),
        ([summary("CTRATE", 60, 0)], ""),
        ([summary("CTRATE", 60, 60)], "masks stay empty: nothing is drawn on CTRATE"),
        (
            [summary("CTRATE", 60, 48), summary("INSPECT", 60, 0)],
            "masks stay empty for 48 of 60 structures on CTRATE",
        ),
        ([{"cohort": "CTRATE", "n_structures": 0, "reason": "no scan has masks"}], "no scan has masks"),
    ],
)
def test_a_cell_that_draws_nothing_says_so(masks, said):
    assert mask_note(masks) == said


def test_no_masks_give_no_scores():
    scores = score_masks(mask_table([]))
    assert scores.structures.empty
    assert scores.cohorts.empty


@pytest.mark.parametrize(("target", "drawn", "overlap"), [(0, 1, 0), (3, 1, 2), (1, 3, 2), (1, 1, -1)])
def test_counts_that_no_two_masks_have_are_refused(target, drawn, overlap):
    with pytest.raises(UniferumError, match="CTRATE/a, heart"):
        score_masks(mask_table([row("a", "heart", target, drawn, overlap)]))


def test_a_mask_that_occurs_twice_is_refused():
    with pytest.raises(UniferumError, match="once"):
        score_masks(mask_table([row("a", "heart", 1, 1, 1)] * 2))


def test_a_table_of_another_kind_is_refused():
    with pytest.raises(UniferumError, match="target_voxels"):
        score_masks(pd.DataFrame({"cohort": ["CTRATE"]}))


def test_scans_are_spread_over_all_of_them():
    assert spread_out({f"s{n:02d}" for n in range(10)}, 3) == ["s00", "s03", "s06"]
    assert spread_out({"b", "a"}, 3) == spread_out({"b", "a"}, None) == ["a", "b"]
