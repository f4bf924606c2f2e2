"""The values of a grid file with their sources: the comments beside them, in the file and in its base."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from orchestration.grid.paths import place_paths
from uniferum.config import load_yaml

SECTIONS = ("defaults", "text_encoders", "axes", "overrides", "evaluate_on", "seeds", "folds", "resources", "margins")
"""What of a grid file decides a result or is a choice of its own; names of stores and cells are neither."""
COLUMNS = ("key", "value", "source", "file")
UNSAID = "no source given"


@dataclass(frozen=True)
class SourcedValue:
    """One value of a YAML file.

    Attributes:
        key: its path, e.g. ``optim.lr``; of a grid file with the section, e.g. ``text_encoders.gatortron.layers``.
        value: as the file has it.
        source: the comment behind it on its line; :data:`UNSAID` where there is none.
        file: that it stands in.
    """

    key: str
    value: str
    source: str
    file: Path

    @property
    def texts(self) -> tuple[str, str, str, str]:
        """In the order of :data:`COLUMNS`."""
        return self.key, self.value, self.source, self.file.name


def sourced_values(path: Path) -> list[SourcedValue]:
    """Every value of a grid file's base and of the sections that decide a result, with the comment beside it.

    Raises:
        UniferumError: a file is missing or is no YAML.
    """
    base = place_paths(path, load_yaml(path)).get("base")
    values = list(_values(Path(str(base)))) if base is not None else []
    return values + [one for one in _values(path) if one.key.split(".")[0].split("[")[0] in SECTIONS]


def _values(path: Path) -> Iterator[SourcedValue]:
    load_yaml(path)  # refuses what is no YAML, in one line
    text = path.read_text(encoding="utf-8")
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if isinstance(node, yaml.MappingNode):
        yield from _walk(node, "", text.splitlines(), path)


def _walk(node: yaml.MappingNode, before: str, lines: list[str], path: Path) -> Iterator[SourcedValue]:
    for key, value in node.value:
        name = f"{before}{key.value}"
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            yield from _walk(value, f"{name}.", lines, path)
        elif isinstance(value, yaml.SequenceNode) and not value.flow_style:
            for at, one in enumerate(value.value):
                if isinstance(one, yaml.MappingNode):
                    yield from _walk(one, f"{name}[{at}].", lines, path)
        else:
            end = value.end_mark
            start = value.start_mark
            whole = "\n".join(lines[start.line : end.line + 1])
            shown = whole[start.column : len(whole) - len(lines[end.line]) + end.column]
            comment = lines[end.line][end.column :].strip()
            yield SourcedValue(name, shown, comment.removeprefix("#").strip() or UNSAID, path)
