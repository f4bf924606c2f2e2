"""Say in a grid's plan which difference from the paper's values its test data and seeds can decide."""

from orchestration.grid.config import GridConfig
from orchestration.grid.stores import on_disk
from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.report.checks.attainable import counts_of_store, undecided
from uniferum.report.checks.margins import Margins


def margin_lines(grid: GridConfig) -> list[str]:
    """One sentence for each column whose declared margin cannot be decided; none for phantoms.

    Raises:
        UniferumError: a store is unreadable.
    """
    if grid.synthetic or not grid.margins:
        return []
    stores = {name: path for name, path in grid.stores.items() if name in grid.evaluate_on and on_disk(path)}
    counts = [one for name, path in stores.items() for one in counts_of_store(PreparedCohort.open(path), name).values()]
    return undecided(counts, Margins(grid.margins, grid.synthetic, grid.comparable), len(grid.seeds))
