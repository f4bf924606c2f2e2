"""Which columns are in-distribution, shared or zero-shot for a training mix."""

import pytest

from uniferum.evaluation.benchmark import group_roles, in_distribution, label_role

GROUPS = {
    ("CTRATE", "all"): ("effusion", "nodule", "hernia"),
    ("INSPECT", "shared"): ("effusion", "nodule"),
    ("INSPECT", "unique"): ("pe_positive", "mortality"),
    ("RADCHEST", "shared"): ("effusion",),
    ("RADCHEST", "unique"): ("honeycombing",),
}


@pytest.mark.parametrize(
    ("mix", "column", "label", "role"),
    [
        (("CTRATE",), ("CTRATE", "all"), "effusion", "in-distribution"),
        (("CTRATE",), ("RADCHEST", "shared"), "effusion", "shared"),
        (("CTRATE",), ("INSPECT", "unique"), "mortality", "zero-shot"),
        (("CTRATE", "INSPECT"), ("INSPECT", "unique"), "mortality", "in-distribution"),
        (("CTRATE", "INSPECT"), ("INSPECT", "shared"), "effusion", "shared"),
        (("INSPECT",), ("INSPECT", "shared"), "effusion", "zero-shot"),
        (("INSPECT",), ("CTRATE", "all"), "effusion", "zero-shot"),
        (("RADCHEST",), ("CTRATE", "all"), "effusion", "shared"),
        (("RADCHEST",), ("CTRATE", "all"), "hernia", "zero-shot"),
        (("CTRATE", "SEG"), ("RADCHEST", "unique"), "honeycombing", "zero-shot"),
    ],
)
def test_the_role_of_a_label(mix, column, label, role):
    assert label_role(GROUPS, mix, column, label) == role


def test_a_column_can_be_part_shared_and_part_zero_shot():
    assert group_roles(GROUPS, ("RADCHEST",), ("CTRATE", "all")) == {
        "shared": ("effusion",),
        "zero-shot": ("nodule", "hernia"),
    }


def test_the_labels_read_from_inspect_reports_are_never_in_distribution():
    assert in_distribution(("CTRATE", "INSPECT", "SEG"), GROUPS) == (("CTRATE", "all"), ("INSPECT", "unique"))
