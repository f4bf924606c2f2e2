"""The vocabulary has the labels that the paper counts, with readable prompts."""

import re

import pytest

from uniferum.data.vocabulary import TOTALSEGMENTATOR, Vocabulary, totalsegmentator_classes
from uniferum.errors import UniferumError


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.load()


def test_groups_have_the_sizes_of_the_paper(vocabulary: Vocabulary) -> None:
    sizes = {key: len(set(labels)) for key, labels in vocabulary.groups.items()}
    assert sizes == {
        ("CTRATE", "all"): 18,
        ("INSPECT", "shared"): 12,
        ("INSPECT", "unique"): 8,
        ("RADCHEST", "shared"): 7,
        ("RADCHEST", "unique"): 32,
    }
    assert len({label.prompt for label in vocabulary.labels.values()}) == 58 == len(vocabulary.labels)


def test_shared_labels_are_labels_of_ct_rate_and_unique_ones_are_not(vocabulary: Vocabulary) -> None:
    ct_rate = set(vocabulary.groups["CTRATE", "all"])
    for cohort in ("INSPECT", "RADCHEST"):
        assert set(vocabulary.groups[cohort, "shared"]) <= ct_rate
        assert not set(vocabulary.groups[cohort, "unique"]) & ct_rate
    assert vocabulary.labels["pleural_effusion"].cohorts == ("CTRATE", "INSPECT", "RADCHEST")
    assert vocabulary.evaluation_only == {("INSPECT", "shared")}


def test_prompts_follow_the_three_templates(vocabulary: Vocabulary) -> None:
    diagnosis = re.compile(r"Diagnose the presence of [a-z -]+ (in|around) the [a-z ]+")
    prognosis = re.compile(r"Predict the risk of [a-z ]+ in (1 month|6 months|12 months)")
    for label in vocabulary.labels.values():
        assert (diagnosis if label.kind == "diagnosis" else prognosis).fullmatch(label.prompt), label.prompt
    assert sum(label.kind == "prognosis" for label in vocabulary.labels.values()) == 7
    for structure in vocabulary.structures.values():
        assert re.fullmatch(r"Segment [a-z0-9 ]+ in the image\.", structure.prompt), structure.prompt


def test_prompts_that_the_paper_prints_are_kept(vocabulary: Vocabulary) -> None:
    assert vocabulary.labels["pleural_effusion"].prompt == "Diagnose the presence of pleural effusion around the lungs"
    disease = vocabulary.labels["coronary_artery_disease"]
    assert disease.prompt == "Diagnose the presence of coronary artery disease in the heart"
    assert vocabulary.labels["6_month_mortality"].prompt == "Predict the risk of mortality in 6 months"
    assert vocabulary.structures["nodule"].prompt == "Segment pulmonary nodules in the image."


def test_sixty_organ_tasks_of_53_classes_and_7_unions(vocabulary: Vocabulary) -> None:
    organs = vocabulary.organs()
    assert len({organ.prompt for organ in organs}) == 60
    assert sum(len(organ.ids) == 1 for organ in organs) == 53
    assert vocabulary.structures["nodule"].layer != TOTALSEGMENTATOR


def test_single_structures_are_the_totalsegmentator_classes_of_their_ids(vocabulary: Vocabulary) -> None:
    classes = totalsegmentator_classes()
    assert len(classes) == len(set(classes)) == 117
    for organ in vocabulary.organs():
        if len(organ.ids) == 1:
            assert classes[organ.ids[0] - 1] == organ.id


@pytest.mark.parametrize(
    ("union", "members"),
    [
        ("left_lung", ("lung_upper_lobe_left", "lung_lower_lobe_left")),
        ("right_lung", ("lung_upper_lobe_right", "lung_middle_lobe_right", "lung_lower_lobe_right")),
        ("left_ribs", tuple(f"rib_left_{k}" for k in range(1, 13))),
        ("right_ribs", tuple(f"rib_right_{k}" for k in range(1, 13))),
        ("thoracic_vertebrae", tuple(f"vertebrae_T{k}" for k in range(1, 13))),
    ],
)
def test_unions_join_their_own_side(vocabulary: Vocabulary, union: str, members: tuple[str, ...]) -> None:
    expected = {vocabulary.structures[member].ids[0] for member in members}
    assert set(vocabulary.structures[union].ids) == expected


def test_extended_vocabulary_adds_a_cohort_as_one_group(vocabulary: Vocabulary) -> None:
    extra = {
        "cohort": "CLINIC",
        "labels": {
            "tumour": {"prompt": "Diagnose the presence of a tumour in the chest"},
            "pleural_effusion": {"prompt": vocabulary.labels["pleural_effusion"].prompt},
        },
        "structures": {"gross_tumour_volume": {"prompt": "Segment the tumour in the image.", "layer": "gtv"}},
    }
    extended = vocabulary.extended(extra)
    assert extended.groups["CLINIC", "all"] == ("tumour", "pleural_effusion")
    assert extended.labels["pleural_effusion"].cohorts[-1] == "CLINIC"
    assert extended.structures["gross_tumour_volume"].ids == (1,)
    assert "tumour" not in vocabulary.labels
    assert vocabulary.extended({}) is vocabulary


def test_a_known_label_cannot_be_asked_otherwise(vocabulary: Vocabulary) -> None:
    extra = {"cohort": "CLINIC", "labels": {"pleural_effusion": {"prompt": "Is there fluid?"}}}
    with pytest.raises(UniferumError, match="must keep its known prompt"):
        vocabulary.extended(extra)


def test_an_unknown_label_is_named_with_its_nearest(vocabulary: Vocabulary) -> None:
    with pytest.raises(UniferumError, match="did you mean 'pleural_effusion'"):
        vocabulary.group_of("RADCHEST", "pleural_efusion")
