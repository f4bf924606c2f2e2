"""The phantom's body and findings lie where they should, at any resolution, and depend on nothing but their seed."""

import numpy as np
import pytest

from uniferum.data.phantom.cases import CT_RATE_LABELS, RAD_CHEST_LABELS, draw_case, findings_of
from uniferum.data.phantom.drawing import FINDINGS
from uniferum.data.phantom.rendering import Rendered, render
from uniferum.data.phantom.spec import Nodule, PhantomSpec, vary_body
from uniferum.data.vocabulary import Vocabulary

SHAPE, SPACING = (94, 64, 72), (4.0, 4.0, 4.0)


def rendered(*findings: str, artery_hu: float = 45.0, seed: int = 5) -> Rendered:
    spec = vary_body(np.random.default_rng(seed), findings, artery_hu=artery_hu)
    return render(spec, SHAPE, SPACING, noise_hu=0)


@pytest.fixture(scope="module")
def healthy() -> Rendered:
    return rendered()


def centre_mm(thorax: Rendered, *ids: int) -> np.ndarray:
    voxels = np.argwhere(np.isin(thorax.masks["totalsegmentator"], ids))
    assert len(voxels), f"nothing has the ids {ids}"
    affine = thorax.volume.affine
    return affine[:3, :3] @ voxels.mean(axis=0) + affine[:3, 3]


def test_all_single_structures_of_the_paper_are_there(healthy: Rendered) -> None:
    structures = Vocabulary.load().structures.values()
    single = {s.ids[0] for s in structures if s.layer == "totalsegmentator" and len(s.ids) == 1}
    assert len(single) == 53
    assert single <= set(np.unique(healthy.masks["totalsegmentator"]).tolist())


def test_organs_lie_on_their_side_in_ras(healthy: Rendered) -> None:
    left_lung, right_lung = centre_mm(healthy, 10, 11), centre_mm(healthy, 12, 13, 14)
    assert left_lung[0] < -40 < 40 < right_lung[0]
    assert centre_mm(healthy, 5)[0] > 20 > -20 > centre_mm(healthy, 6)[0], "liver right, stomach left"
    assert centre_mm(healthy, 51)[0] < 0, "the heart lies to the left"
    assert centre_mm(healthy, 116)[1] > 60 > -60 > centre_mm(healthy, 37)[1], "sternum in front, spine behind"
    for side in range(92, 104):
        assert centre_mm(healthy, side)[0] < 0 < centre_mm(healthy, side + 12)[0]


def test_vertebrae_and_ribs_are_counted_from_the_head_down(healthy: Rendered) -> None:
    heights = [centre_mm(healthy, vertebra)[2] for vertebra in range(32, 44)]
    assert heights == sorted(heights), "T12 is 32 and lowest, T1 is 43 and highest"
    for first in (92, 104):
        ribs = [centre_mm(healthy, first + n)[2] for n in range(10)]
        assert ribs == sorted(ribs, reverse=True)


def test_lobes_lie_above_before_and_below(healthy: Rendered) -> None:
    for upper, lower in ((10, 11), (12, 14)):
        assert centre_mm(healthy, upper)[2] > centre_mm(healthy, lower)[2] + 20
    middle = centre_mm(healthy, 13)
    assert middle[1] > centre_mm(healthy, 14)[1]
    assert middle[2] < centre_mm(healthy, 12)[2]


def test_the_same_body_lies_in_the_same_place_at_another_resolution(healthy: Rendered) -> None:
    spec = vary_body(np.random.default_rng(5), ())
    fine = render(spec, (188, 128, 144), (2.0, 2.0, 2.0), noise_hu=0)
    for ids in ((10, 11), (12, 13, 14), (51,), (52,), (5,)):
        assert np.abs(centre_mm(fine, *ids) - centre_mm(healthy, *ids)).max() < 2.0
        coarse_ml = np.isin(healthy.masks["totalsegmentator"], ids).sum() * 64
        fine_ml = np.isin(fine.masks["totalsegmentator"], ids).sum() * 8
        assert fine_ml == pytest.approx(coarse_ml, rel=0.06)


@pytest.mark.parametrize("name", sorted(FINDINGS))
def test_a_finding_can_be_seen_in_the_voxels(name: str) -> None:
    """By more than 100 HU over at least 40 of the model's 8 mm voxels, as a network of that resolution sees it."""
    artery = 450.0 if name.startswith("pulmonary_") else 45.0
    spec = vary_body(np.random.default_rng(3), (), artery_hu=artery)
    again = vary_body(np.random.default_rng(3), (name,), artery_hu=artery)
    without, with_it = (render(s, (96, 64, 72), SPACING, noise_hu=0).volume.hu for s in (spec, again))
    difference = np.clip(with_it, -1000, 1000).astype(float) - np.clip(without, -1000, 1000)
    coarse = np.abs(difference.reshape(48, 2, 32, 2, 36, 2).mean(axis=(1, 3, 5)))
    assert (coarse > 100).sum() >= 40


def test_dependent_fluid_lies_behind_and_below() -> None:
    changed = rendered("pleural_effusion").volume.hu.astype(int) - rendered().volume.hu
    where = np.argwhere(changed > 400).mean(axis=0) - (np.asarray(SHAPE) - 1) / 2
    assert where[1] < -5, "behind"
    assert where[2] < -3, "below"


def test_cardiomegaly_doubles_the_heart(healthy: Rendered) -> None:
    large, normal = (np.sum(t.masks["totalsegmentator"] == 51) for t in (rendered("cardiomegaly"), healthy))
    assert 1.5 * normal < large < 3.5 * normal


def test_an_embolus_is_dark_in_bright_vessels() -> None:
    changed = rendered("pulmonary_embolism", artery_hu=450).volume.hu - rendered(artery_hu=450).volume.hu
    assert set(np.unique(changed)) == {0, 20 - 450}
    assert (changed != 0).sum() * 64 > 20_000, "at least 20 ml"


def test_nodule_masks_are_the_spheres_that_are_drawn() -> None:
    nodule = Nodule((72.0, 10.0, 30.0), 14.0)
    result = render(PhantomSpec(1, nodules=(nodule,)), SHAPE, SPACING, noise_hu=0)
    plain = render(PhantomSpec(1), SHAPE, SPACING, noise_hu=0)
    mask = result.masks["nodule"] == 1
    assert mask.sum() * 64 == pytest.approx(4 / 3 * np.pi * 14**3, rel=0.1)
    assert (result.volume.hu != plain.volume.hu)[mask].mean() > 0.95
    assert not (result.volume.hu != plain.volume.hu)[~mask].any()


def test_noise_has_its_size_and_follows_its_seed() -> None:
    spec = PhantomSpec(0)
    clean = render(spec, SHAPE, SPACING, noise_hu=0).volume.hu.astype(float)
    noisy = [render(spec, SHAPE, SPACING, noise_hu=30, seed=seed).volume.hu for seed in (1, 1, 2)]
    inside = render(spec, SHAPE, SPACING, noise_hu=0).masks["totalsegmentator"] > 0
    assert (noisy[0] - clean)[inside].std() == pytest.approx(30, rel=0.03)
    assert np.array_equal(noisy[0], noisy[1])
    assert not np.array_equal(noisy[0], noisy[2])


def test_a_case_depends_on_seed_cohort_and_number_only() -> None:
    assert draw_case(0, "CTRATE", 7) == draw_case(0, "CTRATE", 7)
    others = (draw_case(1, "CTRATE", 7), draw_case(0, "RADCHEST", 7), draw_case(0, "CTRATE", 8))
    assert all(other.spec.seed != draw_case(0, "CTRATE", 7).spec.seed for other in others)


def test_labels_are_the_findings_drawn() -> None:
    for number in range(30):
        case = draw_case(0, "CTRATE", number)
        assert {name for name, value in case.labels.items() if value} == set(case.spec.findings)
        case = draw_case(0, "RADCHEST", number)
        for label, names in RAD_CHEST_LABELS.items():
            assert case.labels[label] == int(bool(set(names) & set(case.spec.findings)))


def test_labels_are_those_of_the_vocabulary() -> None:
    vocabulary = Vocabulary.load()
    assert set(CT_RATE_LABELS) == set(vocabulary.groups["CTRATE", "all"])
    known = {*vocabulary.groups["RADCHEST", "shared"], *vocabulary.groups["RADCHEST", "unique"]}
    assert set(RAD_CHEST_LABELS) == known
    unique = vocabulary.groups["RADCHEST", "unique"]
    assert sum(bool(RAD_CHEST_LABELS[label]) for label in unique) >= 15
    assert set(findings_of("CTRATE")) == set(CT_RATE_LABELS)


def test_outcomes_follow_from_findings_some_are_censored_and_later_ones_contain_earlier_ones() -> None:
    cases = [draw_case(0, "INSPECT", number) for number in range(600)]
    values = [case.labels["12_month_PH"] for case in cases]
    assert 0.03 < sum(value is None for value in values) / 600 < 0.15
    with_it = [v for v, c in zip(values, cases, strict=True) if "pulmonary_hypertension" in c.spec.findings]
    without = [v for v, c in zip(values, cases, strict=True) if "pulmonary_hypertension" not in c.spec.findings]
    rates = [np.mean([v for v in group if v is not None]) for group in (with_it, without)]
    assert 0.5 < rates[0] - rates[1] < 0.99, "an outcome follows its finding, but not always"
    for case in cases:
        early, late = case.labels["1_month_mortality"], case.labels["12_month_mortality"]
        assert not (early == 1 and late == 0)
