"""What the plan of a grid says of its data: rows of every kind by cohort, missing masks, groups that cannot be scored.

A grid is refused here, before its first cell starts, where a store does not fit or masks are missing
(``sampling.missing_masks``). Everything comes from the tables of the stores: no scan file is opened.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.grid.config import GridConfig
from orchestration.grid.planned import PlannedCell
from orchestration.grid.states import TO_TRAIN, PlanState
from uniferum.data.organ_rows import CONFIGS, SHIPS_MASKS, MaskRows, masks_command, masks_error
from uniferum.errors import UniferumError

if TYPE_CHECKING:
    from uniferum.data.row_counts import PlannedRows
    from uniferum.run import RunConfig
    from uniferum.run.identity import Reading

COLUMNS = ("cohort", "cells", "scans", "positive", "negative", "organ", "nodule", "no mask")
WITHOUT_ORGANS = frozenset({"LUNA16"})
"""Cohorts that +SEG cells read for their nodules."""


@dataclass(frozen=True)
class Counted:
    """The rows of one cohort, and the cells that train on them."""

    rows: "PlannedRows"
    cells: tuple[PlannedCell, ...]

    @property
    def refused(self) -> tuple[PlannedCell, ...]:
        """The cells that would be trained without the masks that they ask for, and whose policy is to refuse."""
        masks = self.rows.masks
        if masks is None or not masks.missing:
            return ()
        return tuple(p for p in self.cells if p.state in TO_TRAIN and _policy(p) == "refuse")

    @property
    def texts(self) -> tuple[str, ...]:
        """In the order of :data:`COLUMNS`."""
        rows, masks = self.rows, self.rows.masks
        kind = None if masks is None else masks.kind
        name = f"{rows.cohort} in +SEG" if kind == "organ" else rows.cohort
        found = "" if masks is None else _of(masks.found, masks.wanted)
        counts = (f"{number:,}" for number in (len(self.cells), rows.scans, rows.positive, rows.negative))
        given = (found if kind == "organ" else "", found if kind == "nodule" else "")
        return (name, *counts, *given, "" if masks is None else f"{masks.without_masks:,}")


class DataPlan:
    """The data of a plan, each store looked at once."""

    def __init__(self, grid: GridConfig, planned: Sequence[PlannedCell]) -> None:
        """Nothing is read before it is asked for.

        Args:
            grid: where the stores are.
            planned: its cells; those without data are left out, but for the masks that they will need.
        """
        self.grid = grid
        self.planned = planned
        self._reading: Reading | None = None

    @property
    def reading(self) -> "Reading":
        """The stores' tables."""
        if self._reading is None:
            from uniferum.run.identity import Reading

            self._reading = Reading(self.grid.stores)
        return self._reading

    def counted(self) -> list[Counted]:
        """The rows of each cohort as cells draw them: once with SEG and once without, or oftener where cells differ.

        Raises:
            UniferumError: a store is unreadable.
        """
        from uniferum.run.rows import rows_of_cohort

        cells: dict[tuple[object, ...], list[PlannedCell]] = {}
        for p in self._with_data():
            for name in p.cell.config.trained_stores:
                cells.setdefault(_drawn_alike(name, p.cell.config), []).append(p)
        found = [(str(key[0]), tuple(own)) for key, own in cells.items()]
        ordered = sorted(found, key=lambda one: (one[0], one[1][0].cell.config.segmentation))
        return [Counted(rows_of_cohort(self.reading, name, own[0].cell.config), own) for name, own in ordered]

    def left_out(self) -> list[str]:
        """A sentence a cohort of which some cell leaves training scans out, for their values are not HU."""
        return list(dict.fromkeys(line for p in self._with_data() for line in self.reading.left_out(p.cell.config)))

    def organ_lines(self, counted: Iterable[Counted]) -> list[str]:
        """A sentence a cohort that +SEG cells train on: how many organ rows it is given, counted in both ways."""
        return list(dict.fromkeys(one.rows.organs.sentence() for one in counted if one.rows.organs is not None))

    def lines(self, counted: Iterable[Counted]) -> list[str]:
        """What a person should know before the grid starts, a sentence each."""
        return list(dict.fromkeys([*self._mask_lines(counted), *self._without_store(), *self._unscored()]))

    def refuse(self, counted: Iterable[Counted] | None = None) -> None:
        """Refuse cells that would be trained or scored on a store that does not fit, or without the masks they ask for.

        Raises:
            UniferumError: names the first cohort, how many cells ask for it, and the command that helps.
        """
        from uniferum.run.rows import refuse_stores

        for p in self._with_data():
            if p.state in TO_TRAIN or p.state == PlanState.RESCORE:
                refuse_stores(self.reading, p.cell.config, only_scores=p.state == PlanState.RESCORE)
        refused = [one for one in (self.counted() if counted is None else counted) if one.refused]
        if not refused:
            return
        first, *others = refused
        assert first.rows.masks is not None, "refused for its masks"
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

    def _mask_lines(self, counted: Iterable[Counted]) -> Iterator[str]:
        for one in counted:
            masks = one.rows.masks
            if masks is None or not masks.incomplete:
                continue
            cure = f"; make them with: {self._command(masks)}" if masks.missing else ""
            policies = sorted({_policy(p) for p in one.cells}) if masks.missing else []
            policy = f" (sampling.missing_masks: {' or '.join(policies)})" if policies else ""
            yield f"{masks.sentence()}{policy}{cure}"

    def _without_store(self) -> Iterator[str]:
        """The masks of cohorts that are not prepared yet, so that they are made before and not after."""
        cells = [p.cell.config for p in self.planned if p.cell.config.segmentation]
        names = {name for config in cells for name in config.training_cohorts}
        for name in sorted(names & CONFIGS.keys() - SHIPS_MASKS - WITHOUT_ORGANS):
            store = self.grid.stores.get(name)
            if store is not None and "://" not in str(store) and not (Path(store) / "store.json").exists():
                yield f"organ masks of {name}: no store yet; make them with: {masks_command(name, 'organ', {}, store)}"

    def _unscored(self) -> Iterator[str]:
        from uniferum.run.rows import unscored

        names = dict.fromkeys(name for p in self._with_data() for name in p.cell.config.evaluate_on)
        for name in names:
            yield from unscored(self.reading.cohort(name))


def _of(found: int, wanted: int) -> str:
    return f"{found:,}" if found == wanted else f"{found:,} of {wanted:,}"


def _policy(planned: PlannedCell) -> str:
    return planned.cell.config.sampling.missing_masks


def _drawn_alike(name: str, config: "RunConfig") -> tuple[object, ...]:
    """Runs with the same key draw as many rows of a cohort; the policy on missing masks draws none."""
    sampling = tuple(sorted(config.sampling.identity().items()))
    return name, config.segmentation, config.data.on_wrong_hu, sampling
