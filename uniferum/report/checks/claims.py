"""The nine claims of the paper, each as a list of checks on the user's cells.

Source: paper sections 5.1 to 5.4, Table 2 and appendix Tables 3 and 4. A claimed gain is tested by the paired
difference of two cells on the same cases. A claim of no change holds if the interval of the difference lies within the
margin. A printed value is compared with the interval of ours. Claim 7 repeats claims 3, 4 and 5 with GatorTron,
including the two checks that the paper's own GatorTron table contradicts (+ RADCHEST lowers INSPECT shared by 0.7 and
INSPECT unique by 1.6 points).
"""

from dataclasses import dataclass
from typing import Literal

from uniferum.report.records import RowKey
from uniferum.systems import CNN, UNIFERUM

Kind = Literal["gain", "same", "above", "below", "near", "significant", "not significant"]

CT, INSPECT, RAD = ("CTRATE", "all"), ("INSPECT", "unique"), ("RADCHEST", "unique")
INSPECT_SHARED, RAD_SHARED = ("INSPECT", "shared"), ("RADCHEST", "shared")
COLUMNS = (CT, INSPECT_SHARED, INSPECT, RAD_SHARED, RAD)


@dataclass(frozen=True)
class Check:
    """One testable part of a claim.

    Attributes:
        kind: ``gain``, ``same``, ``significant`` and ``not significant`` compare ``row`` with ``base`` on the same
            cases; ``above``, ``below`` and ``near`` compare ``row`` with the number ``printed``.
        row: the cell that the claim is about.
        column: cohort and group.
        base: the cell that it is compared with.
        label: one label instead of the group's mean.
        printed: what the paper prints: a difference for comparisons, a value otherwise.
    """

    kind: Kind
    row: RowKey
    column: tuple[str, str]
    base: RowKey | None = None
    label: str = ""
    printed: float | None = None


@dataclass(frozen=True)
class Claim:
    """A claim of the paper with its checks; the number is ours."""

    number: int
    text: str
    checks: tuple[Check, ...]


def cell(mix: str, encoder: str = "pubmedbert") -> RowKey:
    """Row of a Uniferum cell."""
    return UNIFERUM, encoder, mix


def _gain(mix: str, base: str, column: tuple[str, str], printed: float, encoder: str = "pubmedbert") -> Check:
    return Check("gain", cell(mix, encoder), column, cell(base, encoder), printed=printed)


def _same(mix: str, base: str, column: tuple[str, str], printed: float, encoder: str = "pubmedbert") -> Check:
    return Check("same", cell(mix, encoder), column, cell(base, encoder), printed=printed)


def _segmentation(encoder: str) -> tuple[Check, ...]:
    bases = ("CTRATE", "CTRATE+INSPECT", "CTRATE+RADCHEST")
    return tuple(
        Check("gain", cell(f"{base}+SEG", encoder), column, cell(base, encoder)) for base in bases for column in COLUMNS
    )


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
    Claim(
        1,
        "Ahead of CT-CLIP by 7 and of CT-NET by 20 points on CT-RATE",
        (
            Check("above", cell("CTRATE"), CT, printed=0.7561),
            Check("above", cell("CTRATE"), CT, printed=0.6291),
        ),
    ),
    Claim(
        2,
        "INSPECT alone: 71 against 61 of the own CNN and 65.9 of the INSPECT image model; behind on embolism (72.1)",
        (
            Check("gain", cell("INSPECT"), INSPECT, (CNN, "", "INSPECT"), printed=0.1026),
            Check("above", cell("INSPECT"), INSPECT, printed=0.6585),
            Check("below", cell("INSPECT"), INSPECT, label="pulmonary_embolism", printed=0.721),
        ),
    ),
    Claim(
        3,
        "+ INSPECT leaves CT-RATE's tasks as they were and lifts RADCHEST unique by 4 points",
        (_same("CTRATE+INSPECT", "CTRATE", CT, -0.0055), _gain("CTRATE+INSPECT", "CTRATE", RAD, 0.0415)),
    ),
    Claim(
        4,
        "+ RADCHEST leaves CT-RATE's tasks as they were and lifts INSPECT shared and unique by 1 point",
        (
            _same("CTRATE+RADCHEST", "CTRATE", CT, -0.0010),
            _gain("CTRATE+RADCHEST", "CTRATE", INSPECT_SHARED, 0.0140),
            _gain("CTRATE+RADCHEST", "CTRATE", INSPECT, 0.0121),
        ),
    ),
    Claim(5, "+ SEG improves by 1 to 3 points, consistently", _segmentation("pubmedbert")),
    Claim(
        6,
        "LUNA16's nodules bring nothing for the lung nodules of CT-RATE",
        (Check("same", cell("CTRATE+SEG"), CT, cell("CTRATE"), "lung_nodule", -0.0124),),
    ),
    Claim(
        7,
        "GatorTron shows the same pattern",
        (
            _same("CTRATE+INSPECT", "CTRATE", CT, 0.0035, "gatortron"),
            _gain("CTRATE+INSPECT", "CTRATE", RAD, 0.0506, "gatortron"),
            _same("CTRATE+RADCHEST", "CTRATE", CT, 0.0023, "gatortron"),
            _gain("CTRATE+RADCHEST", "CTRATE", INSPECT_SHARED, -0.0073, "gatortron"),
            _gain("CTRATE+RADCHEST", "CTRATE", INSPECT, -0.0158, "gatortron"),
            *_segmentation("gatortron"),
        ),
    ),
    Claim(
        8,
        "Trained on CT-RATE: 83.0 there, 72.1 on INSPECT shared, 79.6 on RADCHEST shared",
        (
            Check("near", cell("CTRATE"), CT, printed=0.8296),
            Check("near", cell("CTRATE"), INSPECT_SHARED, printed=0.7207),
            Check("near", cell("CTRATE"), RAD_SHARED, printed=0.7960),
        ),
    ),
    Claim(9, "Zero-shot: mortality, honeycombing, bypass, pacemaker, without and with SEG", _zero_shot()),
)
