"""Expand a grid file into cells: each is a name and a complete RunConfig."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from orchestration.grid import axes
from orchestration.grid.combinations import Labels, axes_of, check_axes, combinations, every_axis
from orchestration.grid.config import CellGroup, GridConfig
from orchestration.grid.folds import FOLD
from orchestration.grid.starts import check_starts
from uniferum.config import fingerprint, merge, parse
from uniferum.errors import UniferumError, near_miss
from uniferum.systems import predicts_masks, reads_text
from uniferum.value_labels import name_part

if TYPE_CHECKING:
    from uniferum.run import RunConfig


@dataclass(frozen=True)
class Cell:
    """One configured run of a grid: its name, its RunConfig, and its values on the axes of the grid."""

    name: str
    config: "RunConfig"
    model: str
    text_encoder: str | None
    mix: str
    seed: int
    priority: int = 0
    axes: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Label of its value on each axis of the grid file that it varies, in their order."""
    entry: int = field(default=0, compare=False)
    """Number of its entry in ``cells`` of the grid file."""
    plain: str = field(default="", compare=False)
    """Its name without what varies: axes and seed."""

    @property
    def facts(self) -> dict[str, str]:
        """Everything that conditions can name, as texts."""
        fixed = {"model": self.model, "text_encoder": self.text_encoder or "", "train_on": self.mix}
        return {**fixed, "seed": str(self.seed), "name": self.name, **self.axes}

    def name_over(self, over: Iterable[str]) -> str:
        """Its name without the part of its seed, its fold or both.

        Args:
            over: ``seeds``, ``folds`` or both.
        """
        varied = {axis: label for axis, label in self.axes.items() if axis != FOLD or "folds" not in over}
        return _joined(self.plain, 0 if "seeds" in over else self.seed, varied)


def expand(grid: GridConfig, *, source: str = "grid") -> list[Cell]:
    """List every cell of the grid, highest priority first, otherwise in the order of the file.

    Raises:
        UniferumError: a cohort, text encoder, axis or RunConfig key is unknown, a value is not allowed, a condition of
            ``exclude`` fits no cell, a name is not safe as a file name, or two cells are equal or have one name.
    """
    check_axes(grid, source)
    cells: dict[str, Cell] = {}
    contents: dict[str, Cell] = {}
    varied = bool(grid.axes) or any(group.name for group in grid.cells)
    for cell in _cells(grid, source):
        content = _content(cell) if varied else cell.config.model_dump_json(exclude={"name"})
        same = cells.get(cell.name) or contents.get(content)
        if same is not None:
            raise _collision(cell, same, source)
        fault = axes.unsafe(cell.name)
        if fault:
            cure = "give the text encoder, the cohort or the axis a shorter or plainer name, or its values labels"
            raise UniferumError(
                f"{source}: cell", cell.name, must=f"have a name for a folder, but it {fault}", cure=cure
            )
        cells[cell.name] = cell
        contents[content] = cell
    if not cells:
        raise UniferumError(f"{source}: exclude", must="leave at least one cell")
    check_starts({name: cell.config for name, cell in cells.items()}, source)
    return sorted(cells.values(), key=lambda cell: -cell.priority)


def select(cells: list[Cell], names: Iterable[str]) -> list[Cell]:
    """Select cells by name (``cnn-*``) or by values (``lr=1e-4,train_on=CTRATE*``); all cells if nothing is given.

    Raises:
        UniferumError: the grid has no such cell, or no cell has such an axis.
    """
    selection = list(names)
    chosen = {cell.name for text in selection for cell in _selected(cells, text)}
    return [cell for cell in cells if not selection or cell.name in chosen]


def _selected(cells: list[Cell], text: str) -> list[Cell]:
    names = [cell.name for cell in cells]
    if text in names:
        return [cells[names.index(text)]]
    if "=" not in text:
        fitting = [cell for cell in cells if fnmatchcase(cell.name, text)]
        if fitting:
            return fitting
        raise UniferumError("cell", text, must="be a cell of the grid", cure=near_miss(text, names))
    wanted = list(axes.conditions(text))
    known = dict.fromkeys(name for cell in cells for name in cell.facts)
    for name, _ in wanted:
        if name not in known:
            raise UniferumError("--only", name, must="be an axis of the grid", cure=near_miss(name, known))
    fitting = [cell for cell in cells if all(n in cell.facts and axes.fits(p, cell.facts[n]) for n, p in wanted)]
    if not fitting:
        values = (f"{n}: {', '.join(dict.fromkeys(c.facts[n] for c in cells if n in c.facts))}" for n, _ in wanted)
        raise UniferumError("--only", text, must="fit at least one cell", cure="; ".join(values))
    return fitting


def cell_with(grid: GridConfig, cell: Cell, labels: Labels, source: str) -> Cell:
    """A cell of the entry, mix and seed of another one with other values on the axes.

    The entry need not vary these axes.

    Raises:
        UniferumError: the configuration refuses a value.
    """
    facts = {"model": cell.model, "text_encoder": cell.text_encoder, "train_on": cell.mix, "seed": cell.seed}
    return _cell(grid, cell.entry, facts, labels, source)


def values_on_axes(grid: GridConfig, cell: Cell) -> dict[str, str]:
    """A cell's labels, also on axes that it does not vary: the value that the axis's key has in its configuration.

    An axis without a key, or whose key has no effect on the cell, is left out.
    """
    from uniferum.run.no_effect import has_effect, without_effect

    labels = dict(cell.axes)
    others = {name: axis.key for name, axis in grid.axes.items() if name not in labels and axis.key is not None}
    idle = without_effect(cell.config) if others else frozenset()
    for name, key in others.items():
        value: Any = cell.config.model_dump(mode="json")
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if has_effect(key, idle) and not isinstance(value, Mapping):
            labels[name] = grid.axes[name].label_of_value(value)
    return labels


def same_content(first: Cell, second: Cell) -> bool:
    """Whether two cells have the same weights and scores."""
    return _content(first) == _content(second)


def cell_name(model: str, text_encoder: str | None, mix: str, seed: int) -> str:
    """Name a cell by its axes; seed 0 is left out, so that adding seeds renames no cell."""
    return "-".join(part for part in (model, text_encoder, mix, f"seed{seed}" if seed else "") if part)


def _content(cell: Cell) -> str:
    """All that decides weights and scores of a cell: its keys without those that have no effect on it."""
    from uniferum.run.identity_keys import identity_of, scoring_keys

    config = cell.config
    scans = config.data.model_dump(mode="json", include=set(config.data.CONTENT_KEYS))
    scoring = {**scoring_keys(config), "labels": config.evaluation.model_dump(mode="json")["labels"]}
    return fingerprint(
        {"identity": identity_of(config), "evaluate_on": config.evaluate_on, "scans": scans, "scoring": scoring}
    )


def _collision(cell: Cell, same: Cell, source: str) -> UniferumError:
    """The error about a cell that has the name or the content of another one."""
    from orchestration.grid.records import changes

    where = f"{source}: cells.{cell.entry}: cell"
    first, second = (one.config.model_dump(mode="json", exclude={"name"}) for one in (same, cell))
    differing = "; ".join(changes(first, second))
    if not differing:
        must = "differ from every other cell"
        return UniferumError(where, cell.name, must=must, cure=f"it equals {same.name} of cells.{same.entry}")
    if _content(cell) == _content(same):
        must = "differ from every other cell in what it trains"
        cure = f"it equals {same.name} of cells.{same.entry}, but for keys without effect on it ({differing})"
        return UniferumError(where, cell.name, must=must, cure=cure)
    must = f"have a name of its own, but cells.{same.entry} has a cell of this name with other keys ({differing})"
    return UniferumError(where, cell.name, must=must, cure="vary an axis, or give one of them a `name`")


def _cells(grid: GridConfig, source: str) -> Iterator[Cell]:
    unused = dict(enumerate(grid.exclude))
    for seed in grid.seeds:
        for entry, group in enumerate(grid.cells):
            for mix in group.train_on:
                yield from _of_mix(grid, entry, mix, seed, unused, source)
    for index, condition in unused.items():
        names = [*axes.FACTS, *every_axis(grid)]
        cure = f"correct or remove it; it may name {', '.join(names)}"
        raise UniferumError(
            f"{source}: exclude.{index}", axes.shown(condition), must="fit at least one cell", cure=cure
        )


def _of_mix(
    grid: GridConfig, entry: int, mix: str, seed: int, unused: dict[int, dict[str, Any]], source: str
) -> Iterator[Cell]:
    """The cells of an entry for one mix and seed.

    An axis without effect on a cell is left out of it, so several values give one cell.
    """
    group = grid.cells[entry]
    facts = {"model": group.model, "text_encoder": group.text_encoder, "train_on": mix, "seed": seed}
    reduced: list[Mapping[str, str]] = []
    for labels in combinations(grid, group):
        fitting = [index for index, one in enumerate(grid.exclude) if axes.matches(one, facts, labels)]
        for index in fitting:
            unused.pop(index, None)
        if fitting:
            continue
        cell = _with_effect(grid, entry, facts, labels, source)
        if cell.axes == labels:
            yield cell
        elif cell.axes not in reduced:
            reduced.append(cell.axes)
            yield cell


def _with_effect(grid: GridConfig, entry: int, facts: Mapping[str, Any], labels: Labels, source: str) -> Cell:
    """The cell of some labels, without the axes all of whose keys have no effect on it."""
    from uniferum.run.no_effect import has_effect, without_effect

    cell = _cell(grid, entry, facts, labels, source)
    idle = without_effect(cell.config)
    of_entry = axes_of(grid, grid.cells[entry])
    kept = {name: label for name, label in labels.items() if any(has_effect(k, idle) for k in of_entry[name].keys)}
    if kept == labels:
        return cell
    fewer = _cell(grid, entry, facts, kept, source)
    return fewer if _content(fewer) == _content(cell) else cell  # an override may depend on the axis


def _cell(grid: GridConfig, entry: int, facts: Mapping[str, Any], labels: Labels, source: str) -> Cell:
    from uniferum.model.config import check_tokens
    from uniferum.model.networks import check_networks
    from uniferum.run import RunConfig

    group, mix, seed = grid.cells[entry], facts["train_on"], facts["seed"]
    name = _joined(_plain_name(group, mix), seed, labels)
    where = f"{source}: cell {name}"
    train_on = _cohorts(grid, mix.split("+"), f"{where}: train_on", extra=("SEG",))
    evaluate_on = _cohorts(grid, group.evaluate_on or grid.evaluate_on, f"{where}: evaluate_on")
    keys = merge(grid.defaults, {"model": {"kind": group.model}})
    if group.text_encoder is not None:
        keys = merge(keys, {"model": {"text": _text_encoder(grid, group.text_encoder, source)}})
    for rule in grid.overrides:
        if axes.matches(rule.when, facts, labels):
            keys = merge(keys, rule.set)
    keys = merge(keys, group.set)
    of_entry = axes_of(grid, group)
    for axis, label in labels.items():
        keys = merge(keys, of_entry[axis].setting(label))
    keys = merge({"data": {"loader_workers": grid.resources.loader_workers}}, keys)  # a value in the grid file stays
    named = {"name": name, "seed": seed, "train_on": train_on, "evaluate_on": evaluate_on}
    try:
        config = parse(RunConfig, {**keys, **named}, source=where)
        check_tokens(config.model, config.geometry.model_shape, source=where)
        check_networks(config.model, source=where)
    except UniferumError as error:
        raise _of_axis(error, of_entry, labels, where, source) from None
    if config.model.kind != group.model:
        raise UniferumError(
            f"{where}: model.kind in set",
            config.model.kind,
            must=f"be the system that the cell group names ({group.model})",
            cure=f"write `model: {config.model.kind}` in a cell group instead",
        )
    _cohorts(grid, config.evaluation.labels, f"{where}: evaluation.labels")
    _check_system(group, config, mix, where)
    facts_of_cell = group.model, group.text_encoder, mix, seed, group.priority
    return Cell(name, config, *facts_of_cell, dict(labels), entry, _plain_name(group, mix))


def _check_system(group: CellGroup, config: "RunConfig", mix: str, where: str) -> None:
    """Refuse a text encoder for a system that reads no text, and SEG for one that predicts no masks."""
    if group.text_encoder is not None and not reads_text(group.model):
        must, cure = f"be left out, since {group.model} reads no text", "finished cells are found by what they trained"
        raise UniferumError(f"{where}: text_encoder", group.text_encoder, must=must, cure=cure)
    if config.segmentation and not predicts_masks(group.model):
        must = f"leave out SEG, since {group.model} predicts no masks"
        cure = f"write train_on: {'+'.join(config.training_cohorts)}"
        raise UniferumError(f"{where}: train_on", mix, must=must, cure=cure)


def _plain_name(group: CellGroup, mix: str) -> str:
    """Name of a cell without what varies."""
    return group.name or cell_name(group.model, group.text_encoder, mix, 0)


def _joined(plain: str, seed: int, labels: Mapping[str, str]) -> str:
    """Name a cell by what varies: only a value itself decides its part of the name."""
    varied = (name_part(axis, label) for axis, label in labels.items())
    return "-".join([plain, *varied, *([f"seed{seed}"] if seed else [])])


def _of_axis(
    error: UniferumError, of_entry: Mapping[str, axes.Axis], labels: Labels, where: str, source: str
) -> UniferumError:
    """Name the axis whose value the configuration refuses; any other error stays as it is."""
    key = error.subject.removeprefix(f"{where}: ") if error.subject.startswith(f"{where}: ") else ""
    setters = {axis: label for axis, label in labels.items() if any(axes.overlap(key, k) for k in of_entry[axis].keys)}
    if not key or not setters:
        return error
    subject = (
        f"{source}: axes.{', axes.'.join(setters)}: value {axes.shown(setters)} in {where.removeprefix(f'{source}: ')}"
    )
    return UniferumError(f"{subject}: {key}", error.value, must=error.must, cure=error.cure)


def _cohorts(grid: GridConfig, names: Iterable[str], where: str, extra: tuple[str, ...] = ()) -> list[str]:
    names = list(names)
    for name in names:
        if name not in grid.stores and name not in extra:
            raise UniferumError(where, name, must="have a store", cure=near_miss(name, [*grid.stores, *extra]))
    if len(set(names)) < len(names):
        raise UniferumError(where, "+".join(names), must="name each cohort once")
    return names


def _text_encoder(grid: GridConfig, name: str, source: str) -> dict[str, Any]:
    if name not in grid.text_encoders:
        raise UniferumError(
            f"{source}: text_encoder", name, must="be declared", cure=near_miss(name, grid.text_encoders)
        )
    return grid.text_encoders[name]
