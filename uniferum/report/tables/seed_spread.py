"""The spread over seeds, pooled over cells: two seeds of one cell tell little of it (Student's t would be 12.7).

The seeds of every cell of a column are taken together. If they give fewer than two degrees of freedom, those of all
columns of the table are; if these give fewer than five, the spread is unknown.
"""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import stdev

LEAST_FREEDOM = 5
"""Fewest degrees of freedom from which a spread over seeds is known: Student's t is then 2.6 at most."""
LEAST_OF_COLUMN = 2
"""Fewest degrees of freedom from which the spread of a column is taken: three seeds of one cell, or two of two."""


@dataclass(frozen=True)
class SeedSpread:
    """Standard deviation over seeds, with its degrees of freedom; NaN with 0 if it is unknown."""

    value: float = math.nan
    freedom: int = 0
    said: str = "the spread over seeds is unknown"

    @property
    def known(self) -> bool:
        """Whether it is known well enough for a verdict."""
        return self.freedom >= LEAST_FREEDOM


UNKNOWN = SeedSpread()


def pooled(spreads: Iterable[tuple[float, int]], prior: SeedSpread | None = None) -> SeedSpread:
    """Pool standard deviations, each with its number of seeds, and a prior spread."""
    known = [(spread, seeds) for spread, seeds in spreads if math.isfinite(spread) and seeds > 1]
    freedom = sum(seeds - 1 for _, seeds in known)
    squares = sum((seeds - 1) * spread**2 for spread, seeds in known)
    said = [f"{len(known)} cells with several seeds"] if known else []
    if prior is not None and prior.freedom:
        freedom, squares, said = freedom + prior.freedom, squares + prior.freedom * prior.value**2, [*said, prior.said]
    return SeedSpread(math.sqrt(squares / freedom), freedom, " and ".join(said)) if freedom else SeedSpread()


def column_pools(values: Iterable[tuple[Hashable, Sequence[float]]], whole: str) -> Mapping[Hashable, SeedSpread]:
    """The spread of each column; unknown ones are left out.

    Args:
        values: for each cell its column and the values of its seeds.
        whole: what all columns are together.
    """
    of_column: dict[Hashable, list[tuple[float, int]]] = {}
    for column, of_cell in values:
        spread = [(stdev(of_cell), len(of_cell))] if len(of_cell) > 1 else []
        of_column.setdefault(column, []).extend(spread)
    everywhere = replace(pooled(one for of in of_column.values() for one in of), said=f"pooled over {whole}")
    pools = {column: replace(pooled(of), said="pooled over its column") for column, of in of_column.items()}
    made = {column: own if own.freedom >= LEAST_OF_COLUMN else everywhere for column, own in pools.items()}
    return {column: one for column, one in made.items() if one.known or one is not everywhere}
