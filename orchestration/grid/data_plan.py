"""Plan the data of a grid: training rows per cohort, missing masks, label groups without known test labels.

A grid is refused here, before its first cell starts, if a store does not fit its config or masks are missing
(``sampling.missing_masks``). Only the tables of the stores are read; no scan file is opened.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestration.grid.config import GridConfig
from orchestration.grid.planned import PlannedCell
from orchestration.grid.states import TO_TRAIN, PlanState
from orchestration.grid.stores import on_disk, store_command
from uniferum.data.organ_rows import CONFIGS, SHIPS_MASKS, MaskRows, masks_command, masks_error
from uniferum.errors import UniferumError

if TYPE_CHECKING:
    from uniferum.data.row_counts import PlannedRows
    from uniferum.run import RunConfig
    from uniferum.run.identity import Reading

COLUMNS = ("cohort", "cells", "scans", "positive", "negative", "organ", "nodule", "no mask")
WITHOUT_ORGANS = frozenset({"LUNA16"})
"""Cohorts that +SEG cells read for nodule masks, not for organ masks."""


@dataclass(frozen=True)
class CohortRows:
    """Training rows of one cohort, and the cells that train on them."""

    rows: "PlannedRows"
    cells: tuple[PlannedCell, ...]

    @property
    def refused(self) -> tuple[PlannedCell, ...]:
        """Cells that lack masks and have ``sampling.missing_masks: refuse``."""
        masks = self.rows.masks
        if masks is None or not masks.missing:
            return ()
        return tuple(p for p in self.cells if p.state in TO_TRAIN and _policy(p) == "refuse")

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts in the order of :data:`COLUMNS`."""
        rows, masks = self.rows, self.rows.masks
        kind = None if masks is None else masks.kind
        name = f"{rows.cohort} in +SEG" if kind == "organ" else rows.cohort
        folds = self.cells[0].cell.config.folds_of(rows.cohort)
        name += "" if folds is None else f", fold {folds.index} of {folds.count}"
        mask_rows = "" if masks is None else _count_of(masks.found, masks.wanted)
        counts = (f"{number:,}" for number in (len(self.cells), rows.scans, rows.positive, rows.negative))
        organ, nodule = mask_rows if kind == "organ" else "", mask_rows if kind == "nodule" else ""
        return (name, *counts, organ, nodule, "" if masks is None else f"{masks.without_masks:,}")


class DataPlan:
    """The data of a plan; the tables of each store are read once."""

    def __init__(self, grid: GridConfig, planned: Sequence[PlannedCell]) -> None:
        """Store the arguments; tables are read on first use.

        Args:
            grid: the grid, for its stores.
            planned: its cells; those without data count only for the masks that they will need.
        """
        self.grid = grid
        self.planned = planned
        self._reading: Reading | None = None

    @property
    def reading(self) -> "Reading":
        """The tables of the stores."""
        if self._reading is None:
            from uniferum.run.identity import Reading

            self._reading = Reading(self.grid.stores)
        return self._reading

    def cohort_rows(self) -> list[CohortRows]:
        """Count the rows of each cohort, once per way in which cells draw them (with SEG or without, by sampling).

        Raises:
            UniferumError: a store is unreadable.
        """
        from uniferum.run.rows import rows_of_cohort

        cells: dict[tuple[object, ...], list[PlannedCell]] = {}
        for p in self._with_data():
            for name in p.cell.config.trained_stores:
                cells.setdefault(_sampling_key(name, p.cell.config), []).append(p)
        groups = [(str(key[0]), tuple(group)) for key, group in cells.items()]
        ordered = sorted(groups, key=lambda one: (one[0], one[1][0].cell.config.segmentation))
        return [CohortRows(rows_of_cohort(self.reading, name, group[0].cell.config), group) for name, group in ordered]

    def left_out(self) -> list[str]:
        """One sentence per cohort of which a cell leaves training scans out because their values are not HU."""
        return list(dict.fromkeys(line for p in self._with_data() for line in self.reading.left_out(p.cell.config)))

    def organ_lines(self, cohorts: Iterable[CohortRows]) -> list[str]:
        """One sentence per cohort of +SEG cells: its number of organ rows, counted in both ways."""
        return list(dict.fromkeys(one.rows.organs.sentence() for one in cohorts if one.rows.organs is not None))

    def lines(self, cohorts: Iterable[CohortRows]) -> list[str]:
        """Notes to read before the grid starts, one sentence each."""
        lines = [*self._absent_stores(), *self._mask_lines(cohorts), *self._without_store(), *self._unscored()]
        return list(dict.fromkeys(lines))

    def refuse(self, cohorts: Iterable[CohortRows] | None = None) -> None:
        """Refuse a grid with cells whose store does not fit their config or lacks their masks.

        Raises:
            UniferumError: names the first cohort, the number of its cells, and the command that makes the masks.
        """
        from uniferum.run.rows import refuse_stores

        for p in self._with_data():
            if p.state in TO_TRAIN or p.state == PlanState.RESCORE:
                refuse_stores(self.reading, p.cell.config, only_scores=p.state == PlanState.RESCORE)
        refused = [one for one in (self.cohort_rows() if cohorts is None else cohorts) if one.refused]
        if not refused:
            return
        first, *others = refused
        assert first.rows.masks is not None, "a cohort is refused for its masks"
        names = [p.cell.name for p in first.refused]
        who = f" in {names[0]}" if len(names) == 1 else f" in {len(names)} cells, e.g. {names[0]}"
        error = masks_error(first.rows.masks, self._command(first.rows.masks), who=who)
        more = sorted({one.rows.cohort for one in others} - {first.rows.cohort})
        also = f"; {', '.join(more)} lacks masks too, see uniferum grid plan" if more else ""
        raise UniferumError(error.subject, error.value, must=error.must, cure=error.cure + also)

    def _with_data(self) -> list[PlannedCell]:
        return [p for p in self.planned if p.folder is not None]

    def _command(self, masks: MaskRows) -> str:
        card = self.reading.cohort(masks.cohort).card
        return masks_command(masks.cohort, masks.kind, card, self.grid.stores[masks.cohort])

    def _absent_stores(self) -> Iterator[str]:
        """Yield a sentence per cohort without a store: how many cells need it, and the command that makes it."""
        for name, store in self.grid.stores.items():
            waiting = [p for p in self.planned if p.state == PlanState.NO_DATA and name in p.cell.config.trained_stores]
            untested = [p for p in self.planned if name in p.untested]
            needs = [
                *([f"cells that wait for it: {len(waiting)}"] if waiting else []),
                *([f"cells not tested on it: {len(untested)}"] if untested else []),
            ]
            if needs and not on_disk(store):
                command = store_command(name, self.grid, [p.cell.config for p in (*waiting, *untested)])
                yield f"no store of {name} yet: {', '.join(needs)}; make it with: {command}"

    def _mask_lines(self, cohorts: Iterable[CohortRows]) -> Iterator[str]:
        for one in cohorts:
            masks = one.rows.masks
            if masks is None or not masks.incomplete:
                continue
            cure = f"; make them with: {self._command(masks)}" if masks.missing else ""
            policies = sorted({_policy(p) for p in one.cells}) if masks.missing else []
            policy = f" (sampling.missing_masks: {' or '.join(policies)})" if policies else ""
            yield f"{masks.sentence()}{policy}{cure}"

    def _without_store(self) -> Iterator[str]:
        """Yield the commands that make the masks of cohorts without a store, because masks come before preparation."""
        cells = [p.cell.config for p in self.planned if p.cell.config.segmentation]
        names = {name for config in cells for name in config.training_cohorts}
        for name in sorted(names & CONFIGS.keys() - SHIPS_MASKS - WITHOUT_ORGANS):
            store = self.grid.stores.get(name)
            if store is not None and not on_disk(store):
                yield f"organ masks of {name}: no store yet; make them with: {masks_command(name, 'organ', {}, store)}"

    def _unscored(self) -> Iterator[str]:
        from uniferum.run.rows import label_set_lines, unscored

        names = dict.fromkeys(name for p in self._with_data() for name in p.cell.config.evaluate_on)
        for name in names:
            yield from unscored(self.reading.cohort(name))
        for p in self._with_data():
            yield from label_set_lines(self.reading, p.cell.config)


def _count_of(present: int, wanted: int) -> str:
    return f"{present:,}" if present == wanted else f"{present:,} of {wanted:,}"


def _policy(planned: PlannedCell) -> str:
    return planned.cell.config.sampling.missing_masks


def _sampling_key(name: str, config: "RunConfig") -> tuple[object, ...]:
    """Key of the configs that draw the same number of rows of a cohort; the policy on missing masks is not in it."""
    sampling = tuple(sorted(config.sampling.identity().items()))
    return name, config.segmentation, config.data.on_wrong_hu, sampling, config.folds_of(name)
