"""What masks (+SEG) and each added cohort changed, as a forest plot."""

import math
from collections.abc import Iterator, Sequence

from uniferum.errors import UniferumError
from uniferum.evaluation.delong import PairedTest
from uniferum.report.checks.compare import NEEDED
from uniferum.report.records import CellRecord, mix_name, own_axes
from uniferum.report.site.forest import ForestLine, forest
from uniferum.report.site.ranking import difference, ranked
from uniferum.report.systems import shown_encoder
from uniferum.report.tables.paper import column_order

PAIRS = 60
"""Number of pairs of cells that are tested; more are counted."""


def added_data(records: Sequence[CellRecord]) -> str:
    """What masks (+SEG) and each added cohort changed: a forest plot of the means over pairs of cells, and of each."""
    pairs = list(_pairs(records))
    if not pairs:
        return "<h3>Effect of added data</h3><p>No two cells differ in one added cohort or in SEG alone.</p>"
    means = [line for added, of in _by_added(pairs).items() for line in _mean_effects(added, of)]
    single: list[ForestLine] = []
    for added, first, second in pairs[:PAIRS]:
        try:
            read = {cell.name: cell.predictions(NEEDED) for cell in (*first, *second)}
        except UniferumError:
            continue  # the predictions of a cell are not there
        names = f"{first[0].mix}, {shown_encoder(first[0].text_encoder) or first[0].model}"
        single += [
            _effect((f"+{added}", names, " ".join(column)), test)
            for column in ranked([*first, *second])
            if isinstance(test := difference(first, second, column, read), PairedTest)
        ]
    single.sort(key=lambda line: (line.names[0], line.names[2], line.difference))
    below = "Mean AUROC of the column, same system and seeds; paired test by patient, not adjusted."
    more = f" {len(pairs) - PAIRS} more pairs are not shown." if len(pairs) > PAIRS else ""
    every = forest("Each pair of cells", ("Added", "To", "Column"), single, "Reads", below + more)
    return (
        forest("Effect of added data", ("Added", "Column", "Mean of"), means, "Reads", below)
        + f"<details><summary>Each pair of cells ({len(single)} lines)</summary>{every}</details>"
    )


Pair = tuple[str, list[CellRecord], list[CellRecord]]
"""What was added, the cells without it, and those with it."""


def _by_added(pairs: Sequence[Pair]) -> dict[str, list[Pair]]:
    by_added: dict[str, list[Pair]] = {}
    for pair in sorted(pairs, key=lambda one: (one[0] != "SEG", one[0])):  # the paper's own question first
        by_added.setdefault(pair[0], []).append(pair)
    return by_added


def _mean_effects(added: str, pairs: Sequence[Pair]) -> Iterator[ForestLine]:
    """The mean effect over all pairs, for each column that both cells of a pair have."""
    columns = dict.fromkeys(column for _, first, second in pairs for column in ranked([*first, *second]))
    for column in sorted(columns, key=column_order):
        there = [one for one in pairs if all(_has(record, column) for record in (*one[1], *one[2]))]
        # As many cells stand on both sides, since a pair has the same seeds.
        first, second = [r for _, of, _ in there for r in of], [r for _, _, of in there for r in of]
        test = difference(first, second, column) if there else None
        if isinstance(test, PairedTest):
            yield _effect((f"+{added}", " ".join(column), f"{len(there)} pair{'s' * (len(there) > 1)}"), test)


def _has(record: CellRecord, column: tuple[str, str]) -> bool:
    return any((one.cohort, one.group) == column and math.isfinite(one.value) for one in record.groups)


def _effect(names: tuple[str, ...], test: PairedTest) -> ForestLine:
    said = "raises" if test.lo > 0 else "lowers" if test.hi < 0 else "no difference shown"
    return ForestLine(names, test.difference, test.lo, test.hi, said)


def _pairs(records: Sequence[CellRecord]) -> Iterator[Pair]:
    """Cells that differ in one added word of the training data, over the seeds that both have."""
    by_key: dict[tuple[object, ...], dict[str, dict[object, CellRecord]]] = {}
    for record in sorted((one for one in records if not one.members), key=lambda one: not one.at_defaults):
        axes = own_axes(record.axes, record.folds).items()
        own = tuple(sorted(part for part in axes if part[0] not in ("train_on", "seed", "model", "text_encoder")))
        key = record.model, record.text_encoder, own
        by_key.setdefault(key, {}).setdefault(record.mix, {}).setdefault(record.repeat, record)
    for mixes in by_key.values():
        for mix, cells in mixes.items():
            for added in mix.split("+"):
                base = mixes.get(mix_name(name for name in mix.split("+") if name != added), {})
                shared = sorted(base.keys() & cells.keys(), key=str)
                if shared:
                    yield added, [base[one] for one in shared], [cells[one] for one in shared]
