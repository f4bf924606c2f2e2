"""Which columns are in-distribution, shared or zero-shot for a training mix."""

import pytest

from uniferum.evaluation.benchmark import label_role

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
        (("CTRATE", "INSPECT", "SEG"), ("CTRATE", "all"), "nodule", "in-distribution"),
        (("CTRATE", "INSPECT", "SEG"), ("INSPECT", "shared"), "nodule", "shared"),
    ],
)
def test_the_role_of_a_label(mix, column, label, role):
    assert label_role(GROUPS, mix, column, label) == role
