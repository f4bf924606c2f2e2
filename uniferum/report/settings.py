"""Settings: in what cells of one model, text encoder and training mix differ, beside seed and fold.

Cells of one setting are the repetitions of a number. The values of axes that a cell varies name its setting; cells of
equal values and seeds are named by their names. The setting at the defaults of the grid file is the paper's row.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from uniferum.report.records import CellRecord, PendingCell, RowKey, own_axes, shown_setting
from uniferum.systems import trained_by_paper

DEFAULTS = "defaults"
"""What the setting at the grid's defaults is called."""
One = TypeVar("One", CellRecord, PendingCell)
AnyCell = CellRecord | PendingCell


@dataclass(frozen=True)
class GridPosition:
    """Where a cell stands in its grid."""

    varied: Mapping[str, str] = field(default_factory=dict)
    """Labels of the axes that it varies, without its fold and those that its model and text encoder name already."""
    at_defaults: bool = True
    """Whether these are the grid's defaults."""
    own_keys: bool = False
    """Whether its entry gives it keys or a name of its own."""


def with_settings(
    records: Sequence[CellRecord], pending: Sequence[PendingCell], positions: Mapping[str, GridPosition] | None = None
) -> tuple[list[CellRecord], list[PendingCell]]:
    """Give cells their settings.

    Args:
        records: finished cells.
        pending: cells without a result.
        positions: by the name of the cell. Without a grid file the defaults are unknown: only a cell that varies no
            axis is at the defaults.
    """
    known = {one.name: _position(one, positions or {}) for one in (*records, *pending)}
    names = _own_names((*records, *pending), known)
    rows: dict[tuple[str, str, str], set[str]] = {}
    for one in (*records, *pending):
        rows.setdefault(_base(one), set()).add(_setting(known[one.name], names.get(one.name, "")))
    several = {base for base, settings in rows.items() if len(settings) > 1}

    def placed(one: One) -> One:
        position, name = known[one.name], names.get(one.name, "")
        setting, lone = _setting(position, name), _base(one) not in several
        if lone and not trained_by_paper(one.model):
            return replace(one, setting="", at_defaults=True)
        at_defaults = position.at_defaults and not name
        if at_defaults:
            setting = f"{DEFAULTS} ({setting})" if setting else "" if lone else DEFAULTS
        return replace(one, setting=setting, at_defaults=at_defaults)

    return [placed(one) for one in records], [placed(one) for one in pending]


def has_settings(cells: Iterable[AnyCell]) -> bool:
    """Whether a table of these cells names their settings."""
    return any(one.setting for one in cells)


def settings_said(cells: Iterable[AnyCell]) -> tuple[str, ...]:
    """Say which setting of several is taken: ``cells at defaults (lr=1e-4)``; empty if there is one."""
    settings = dict.fromkeys(one.setting for one in cells if one.setting)
    return (f"cells at {' and '.join(settings)}",) if settings else ()


def row_with_setting(one: AnyCell) -> RowKey:
    """The row of a cell with its setting, also if that is the grid's defaults."""
    return (*_base(one), one.setting)


def _position(one: AnyCell, positions: Mapping[str, GridPosition]) -> GridPosition:
    varied = own_axes(one.axes, one.folds)
    plain = _repeated_name(one)
    usual = plain.startswith(f"{one.model}-") and plain.endswith(f"-{one.mix}")
    return positions.get(one.name) or GridPosition(varied, not varied, not usual)


def _base(one: AnyCell) -> tuple[str, str, str]:
    return one.model, one.text_encoder, one.mix


def _setting(position: GridPosition, name: str) -> str:
    return ", ".join(part for part in (shown_setting(position.varied), name) if part)


def _repeated_name(one: AnyCell) -> str:
    """The name of a cell without its seed and fold."""
    name = one.name.removesuffix(f"-seed{one.seed}")
    return name if one.folds is None else name.removesuffix(f"-fold{one.folds.index}")


def _own_names(cells: Iterable[AnyCell], positions: Mapping[str, GridPosition]) -> dict[str, str]:
    """Names of cells that neither an axis nor a text encoder distinguishes from another cell of their seed and fold.

    Cells without folds are apart from cells with folds.

    The cell whose entry gives it nothing of its own needs none, if there is only one such.
    """
    alike: dict[object, dict[str, list[AnyCell]]] = {}
    for one in cells:
        position = positions[one.name]
        text = json.dumps(one.text, sort_keys=True, default=str)
        where = _base(one), position.at_defaults or tuple(position.varied.items()), text
        alike.setdefault(where, {}).setdefault(_repeated_name(one), []).append(one)
    named: dict[str, str] = {}
    for of_name in alike.values():
        same = [one for of in of_name.values() for one in of]
        divisions = {one.folds and one.folds.division for one in same}
        if len({one.repeat for one in same}) == len(same) and len(divisions) == 1:
            continue  # seeds and folds of one cell
        plain = [name for name, same in of_name.items() if not any(positions[one.name].own_keys for one in same)]
        kept = plain[0] if len(plain) == 1 else ""
        named |= {one.name: name for name, same in of_name.items() if name != kept for one in same}
    return named
