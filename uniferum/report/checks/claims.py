"""The nine claims of the paper, each as a list of checks on the user's cells.

Source: paper sections 5.1 to 5.4, Table 2 and appendix Tables 3 and 4. A claimed gain is tested by the paired
difference of two cells on the same cases; how an outcome follows is written in :mod:`uniferum.report.checks.readings`.
Claim 7 repeats claims 1, 3, 4, 5 and 8 with GatorTron, all that appendix Table 4 allows, including the checks that this
table itself contradicts (+ RADCHEST lowers INSPECT shared by 0.7 and INSPECT unique by 1.6 points).
"""

from dataclasses import dataclass
from typing import Literal

from uniferum.report.published import find, slug
from uniferum.report.records import RowKey
from uniferum.systems import CNN, UNIFERUM

Kind = Literal["gain", "same", "no gain", "above", "below", "near", "significant", "not significant"]

CT, INSPECT, RAD = ("CTRATE", "all"), ("INSPECT", "unique"), ("RADCHEST", "unique")
INSPECT_SHARED, RAD_SHARED = ("INSPECT", "shared"), ("RADCHEST", "shared")
COLUMNS = (CT, INSPECT_SHARED, INSPECT, RAD_SHARED, RAD)
SEG_BASES = ("CTRATE", "CTRATE+INSPECT", "CTRATE+RADCHEST")
NODULE = "lung_nodule"
IMAGE_MODEL = "the INSPECT image model"


@dataclass(frozen=True)
class Check:
    """One testable part of a claim.

    Attributes:
        kind: ``gain``, ``same``, ``no gain``, ``significant`` and ``not significant`` compare ``row`` with ``base``
            on the same cases; ``above``, ``below`` and ``near`` compare ``row`` with the number ``printed``.
        row: the cell that the claim is about.
        column: cohort and group.
        base: the cell that it is compared with.
        label: one label instead of the group's mean.
        printed: what the paper prints: a difference for comparisons, a value otherwise.
        size: the size of a gain in the words of the claim, e.g. 0.04 for "by 4 points".
    """

    kind: Kind
    row: RowKey
    column: tuple[str, str]
    base: RowKey | None = None
    label: str = ""
    printed: float | None = None
    size: float = 0.0
    other: str = ""
    """The system whose printed value ``above`` and ``below`` compare with."""


@dataclass(frozen=True)
class Claim:
    """A claim of the paper with its checks; the number is ours."""

    number: int
    text: str
    checks: tuple[Check, ...]


def cell(mix: str, encoder: str = "pubmedbert") -> RowKey:
    """Row of a Uniferum cell."""
    return UNIFERUM, encoder, mix


def _printed(row: RowKey, base: RowKey, column: tuple[str, str], label: str = "") -> float | None:
    """The difference of two values of the paper's tables."""
    values = [find("auroc", one, column[0], slug(label) if label else column[1]) for one in (row, base)]
    return round(values[0].value - values[1].value, 4) if values[0] and values[1] else None


def _gain(mix: str, base: str, column: tuple[str, str], size: float, encoder: str = "pubmedbert") -> Check:
    row, other = cell(mix, encoder), cell(base, encoder)
    return Check("gain", row, column, other, printed=_printed(row, other, column), size=size)


def _same(mix: str, base: str, column: tuple[str, str], encoder: str = "pubmedbert") -> Check:
    row, other = cell(mix, encoder), cell(base, encoder)
    return Check("same", row, column, other, printed=_printed(row, other, column))


def _ahead(encoder: str = "pubmedbert") -> tuple[Check, ...]:
    """Claim 1: ahead of two cited values on CT-RATE."""
    row = cell("CTRATE", encoder)
    return Check("above", row, CT, printed=0.7561, size=0.07, other="CT-CLIP"), Check(
        "above", row, CT, printed=0.6291, size=0.20, other="CT-NET"
    )


def _added_inspect(encoder: str = "pubmedbert") -> tuple[Check, ...]:
    return (
        _same("CTRATE+INSPECT", "CTRATE", CT, encoder),
        _gain("CTRATE+INSPECT", "CTRATE", RAD, 0.04, encoder),
    )


def _added_radchest(encoder: str = "pubmedbert") -> tuple[Check, ...]:
    return (
        _same("CTRATE+RADCHEST", "CTRATE", CT, encoder),
        _gain("CTRATE+RADCHEST", "CTRATE", INSPECT_SHARED, 0.01, encoder),
        _gain("CTRATE+RADCHEST", "CTRATE", INSPECT, 0.01, encoder),
    )


def _segmentation(encoder: str = "pubmedbert") -> tuple[Check, ...]:
    return tuple(_gain(f"{base}+SEG", base, column, 0.01, encoder) for base in SEG_BASES for column in COLUMNS)


def _nodules() -> tuple[Check, ...]:
    """Claim 6: the three pairs of appendix Table 3."""
    pairs = [(cell(f"{base}+SEG"), cell(base)) for base in SEG_BASES]
    return tuple(Check("no gain", row, CT, base, NODULE, _printed(row, base, CT, NODULE)) for row, base in pairs)


def _values(encoder: str = "pubmedbert") -> tuple[Check, ...]:
    """Claim 8: the printed values of the cell that is trained on CT-RATE."""
    row = cell("CTRATE", encoder)
    values = [(column, find("auroc", row, *column)) for column in (CT, INSPECT_SHARED, RAD_SHARED)]
    return tuple(Check("near", row, column, printed=one.value) for column, one in values if one)


def _zero_shot() -> tuple[Check, ...]:
    """Checks of section 5.4: values of both cells, and which of their differences were significant."""
    plain, seg = cell("CTRATE"), cell("CTRATE+SEG")
    printed = (
        (INSPECT, "1_month_mortality", 0.716, 0.756, False),
        (INSPECT, "6_month_mortality", 0.695, 0.756, True),
        (INSPECT, "12_month_mortality", 0.682, 0.742, True),
        (RAD, "honeycombing", 0.692, 0.650, False),
        (RAD, "cabg", 0.748, 0.803, False),
        (RAD, "pacemaker_or_defib", 0.905, 0.927, False),
    )
    checks: list[Check] = []
    for column, label, first, second, significant in printed:
        checks.append(Check("near", plain, column, label=label, printed=first))
        checks.append(Check("near", seg, column, label=label, printed=second))
        kind: Kind = "significant" if significant else "not significant"
        checks.append(Check(kind, seg, column, plain, label, round(second - first, 3)))
    return tuple(checks)


CLAIMS: tuple[Claim, ...] = (
    Claim(1, "Ahead of CT-CLIP by 7 and of CT-NET by 20 points on CT-RATE", _ahead()),
    Claim(
        2,
        "INSPECT alone: 71 against 61 of the own CNN and 65.9 of the INSPECT image model; behind on embolism (72.1)",
        (
            Check("gain", cell("INSPECT"), INSPECT, (CNN, "", "INSPECT"), printed=0.1026, size=0.10),
            Check("above", cell("INSPECT"), INSPECT, printed=0.6585, size=0.05, other=IMAGE_MODEL),
            Check("below", cell("INSPECT"), INSPECT, label="pulmonary_embolism", printed=0.721, other=IMAGE_MODEL),
        ),
    ),
    Claim(3, "+ INSPECT leaves CT-RATE's tasks as they were and lifts RADCHEST unique by 4 points", _added_inspect()),
    Claim(
        4,
        "+ RADCHEST leaves CT-RATE's tasks as they were and lifts INSPECT shared and unique by 1 point",
        _added_radchest(),
    ),
    Claim(5, "+ SEG improves by 1 to 3 points, consistently", _segmentation()),
    Claim(6, "LUNA16's nodules bring nothing for the lung nodules of CT-RATE", _nodules()),
    Claim(
        7,
        "GatorTron shows the same pattern",
        (
            *_added_inspect("gatortron"),
            *_added_radchest("gatortron"),
            *_segmentation("gatortron"),
            *_ahead("gatortron"),
            *_values("gatortron"),
        ),
    ),
    Claim(8, "Trained on CT-RATE: 83.0 there, 72.1 on INSPECT shared, 79.6 on RADCHEST shared", _values()),
    Claim(9, "Zero-shot: mortality, honeycombing, bypass, pacemaker, without and with SEG", _zero_shot()),
)
