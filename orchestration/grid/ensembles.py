"""Members of the ensembles of a grid file."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from orchestration.grid.axes import unsafe
from orchestration.grid.cells import Cell
from orchestration.grid.config import EnsembleConfig, GridConfig
from orchestration.grid.folds import FOLD
from orchestration.grid.planned import PlannedCell
from orchestration.grid.states import PlanState
from uniferum.errors import UniferumError, near_miss


def ensemble_members(grid: GridConfig, cells: Sequence[Cell], *, source: str = "grid") -> dict[str, list[Cell]]:
    """The cells of each ensemble, by its name.

    Args:
        grid: the grid.
        cells: all of its cells.
        source: the grid file, for messages.

    Raises:
        UniferumError: two ensembles or an ensemble and a cell have one name, an ensemble names no cell or one cell
            only, or its members are tested on different cohorts or on different folds.
    """
    members: dict[str, list[Cell]] = {}
    names = {cell.name for cell in cells}
    for index, one in enumerate(grid.ensembles):
        where = f"{source}: ensembles.{index}"
        if one.name in members or one.name in names:
            must = "have a name of its own; " + ("a cell" if one.name in names else "another ensemble") + " has it"
            raise UniferumError(f"{where}: name", one.name, must=must)
        fault = unsafe(one.name)
        if fault:
            raise UniferumError(f"{where}: name", one.name, must=f"be a name for a folder, but it {fault}")
        members[one.name] = _members(one, cells, where)
        _check_tests(members[one.name], f"{where} ({one.name})")
    return members


def ensemble_lines(grid: GridConfig, cells: Sequence[Cell], planned: Sequence[PlannedCell]) -> list[str]:
    """One sentence for each ensemble of a plan: how many of its members are done."""
    state = {one.cell.name: one.state for one in planned}
    return [
        f"ensemble {name}: {sum(state.get(one.name) == PlanState.DONE for one in members)} of {len(members)} members "
        "are done; the report averages their logits"
        for name, members in ensemble_members(grid, cells).items()
        if any(one.name in state for one in members)
    ]


def _members(one: EnsembleConfig, cells: Sequence[Cell], where: str) -> list[Cell]:
    if one.of is not None:
        varied = [cell for cell in cells if "folds" not in one.over or FOLD in cell.axes]
        members = [cell for cell in varied if cell.name_over(one.over) == one.of]
        if len(members) < 2:
            known = dict.fromkeys(cell.name_over(one.over) for cell in varied)
            must = f"be the name of at least two cells without their {' and '.join(one.over)}, not of {len(members)}"
            cure = near_miss(one.of, known) if known else "the grid has no folds"
            raise UniferumError(f"{where}: of", one.of, must=must, cure=cure)
        return members
    for pattern in one.cells:
        if not any(fnmatchcase(cell.name, pattern) for cell in cells):
            cure = near_miss(pattern, [cell.name for cell in cells])
            raise UniferumError(f"{where}: cells", pattern, must="be the name of a cell, or a pattern", cure=cure)
    members = [cell for cell in cells if any(fnmatchcase(cell.name, pattern) for pattern in one.cells)]
    if len(members) < 2:
        raise UniferumError(f"{where}: cells", members[0].name, must="name at least two cells")
    return members


def _check_tests(members: Sequence[Cell], where: str) -> None:
    """Check that the members are tested on the same cohorts, divided alike."""
    first = members[0]
    for other in members[1:]:
        tests = [sorted(one.config.evaluate_on) for one in (first, other)]
        if tests[0] != tests[1]:
            differ = f"{first.name} on {', '.join(tests[0])}, {other.name} on {', '.join(tests[1])}"
            raise UniferumError(where, differ, must="have members that are tested on the same cohorts")
    for cohort in first.config.evaluate_on:
        folds = [(one, one.config.folds_of(cohort)) for one in members]
        tested = {fold if fold is not None and fold.nested else None: one.name for one, fold in folds}
        if len(tested) > 1:
            names = " and ".join(list(tested.values())[:2])
            must = f"have members with the same test cases, but {names} are tested on different folds of {cohort}"
            raise UniferumError(
                where, must=must, cure="the report averages nested folds in one row without an ensemble"
            )
