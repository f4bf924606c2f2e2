"""Agreement of labels from reports with a human reader: accuracy and Cohen's kappa, by label.

In the paper, the radiologist confirmed 115 of 120 labels, 10 per class (3.4.3).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from uniferum.data.cohorts.tables import rows
from uniferum.data.cohorts.values import known
from uniferum.errors import UniferumError

ALL = "all"


@dataclass(frozen=True)
class Agreement:
    """Agreement on one label, or on all.

    Attributes:
        label: label id, or ``all``.
        n: number of reports with both judgements.
        right: number of reports with equal judgements.
        unknown: number of reports that the reader judged and the labeller left unknown.
        kappa: Cohen's kappa; ``None`` if agreement by chance is complete, or nothing was judged.
    """

    label: str
    n: int
    right: int
    unknown: int
    kappa: float | None

    @property
    def accuracy(self) -> float | None:
        """Share of equal judgements."""
        return self.right / self.n if self.n else None


def read_values(path: Path, id_column: str) -> dict[tuple[str, str], int]:
    """Read the known values of a table ``<id>,label,value``: (id, label) to 0 or 1.

    Raises:
        UniferumError: the table is damaged, or has two values of a report for a label.
    """
    values: dict[tuple[str, str], int] = {}
    for row in rows(path, (id_column, "label", "value"), unit="report"):
        value = known(row["value"], row, "value")
        if value is None:
            continue
        key = (row[id_column], row["label"])
        if key in values:
            raise UniferumError(f"{path}: {id_column} {key[0]}, {key[1]}", must="be judged once")
        values[key] = value
    return values


def agreement(made: Mapping[tuple[str, str], int], by_hand: Mapping[tuple[str, str], int]) -> list[Agreement]:
    """Compare labels by label and over all; reports that only the labeller judged are ignored.

    Raises:
        UniferumError: there is nothing to compare.
    """
    if not by_hand:
        raise UniferumError("the hand-labelled table", must="have a value", cure="fill its column value with 0 or 1")
    pairs: defaultdict[str, list[tuple[int | None, int]]] = defaultdict(list)
    for key, value in by_hand.items():
        pairs[key[1]].append((made.get(key), value))
    by_label = [_compared(label, pairs[label]) for label in sorted(pairs)]
    return [*by_label, _compared(ALL, [pair for label in pairs for pair in pairs[label]])]


def kappa(pairs: Iterable[tuple[int, int]]) -> float | None:
    """Cohen's kappa of pairs of 0 and 1 (Cohen 1960): agreement beyond chance, relative to its maximum.

    scikit-learn's `cohen_kappa_score` ends in other last digits for 199 of 200 random tables, and scikit-learn is not a
    dependency of the library; a test compares the two.
    """
    counts = Counter(pairs)
    n = sum(counts.values())
    if not n:
        return None
    agreed = (counts[0, 0] + counts[1, 1]) / n
    first, second = (counts[1, 0] + counts[1, 1]) / n, (counts[0, 1] + counts[1, 1]) / n
    chance = first * second + (1 - first) * (1 - second)
    return None if chance == 1 else (agreed - chance) / (1 - chance)


def _compared(label: str, pairs: list[tuple[int | None, int]]) -> Agreement:
    both = [(made, by_hand) for made, by_hand in pairs if made is not None]
    right = sum(made == by_hand for made, by_hand in both)
    return Agreement(label, len(both), right, len(pairs) - len(both), kappa(both))
