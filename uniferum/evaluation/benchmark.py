"""Classify the columns of the results for a training mix: in-distribution, shared or zero-shot (paper section 4).

Tasks of a training cohort are in-distribution; tasks that another cohort shares with a training cohort (out of
distribution) test generalisation to its scans; tasks whose label was never trained are zero-shot. INSPECT's labels from
reports are never trained on (paper 3.4.3), so they are never in-distribution.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

Role = Literal["in-distribution", "shared", "zero-shot"]
GroupKey = tuple[str, str]

#: Labels that serve evaluation only (paper 3.4.3); the vocabulary carries the same set.
EVALUATION_ONLY: frozenset[GroupKey] = frozenset({("INSPECT", "shared")})


def trained_labels(
    groups: Mapping[GroupKey, Iterable[str]],
    train_on: Iterable[str],
    evaluation_only: frozenset[GroupKey] = EVALUATION_ONLY,
) -> set[str]:
    """Return the ids of all labels that the mix trains; ``SEG`` trains no label."""
    mix = set(train_on)
    return {
        label
        for (cohort, group), labels in groups.items()
        if cohort in mix and (cohort, group) not in evaluation_only
        for label in labels
    }


def label_role(
    groups: Mapping[GroupKey, Iterable[str]],
    train_on: Iterable[str],
    column: GroupKey,
    label: str,
    evaluation_only: frozenset[GroupKey] = EVALUATION_ONLY,
) -> Role:
    """Return the role of one label of a cohort's group for a training mix."""
    mix = set(train_on)
    if column[0] in mix and column not in evaluation_only:
        return "in-distribution"
    return "shared" if label in trained_labels(groups, mix, evaluation_only) else "zero-shot"
