"""How every figure looks: readable in grey and by the colour-blind, the same bytes for the same numbers.

Series differ by colour, lightness, marker and line alike, so that no reader needs the colour. Colours are those of
Okabe and Ito (2008), grey in place of the yellow that vanishes on white; heat maps use cividis, even in grey.
"""

import io
import textwrap
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from uniferum.atomic import write_atomically
from uniferum.report.tables.naming import phantom_title

FORMATS = ("png", "svg", "pdf")
HEAT = "cividis"
SETTINGS: Any = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "uniferum",
    "svg.fonttype": "none",
    "figure.dpi": 150,
}


@dataclass(frozen=True)
class Series:
    """How one series is told from the others."""

    colour: str
    marker: str
    line: str
    hatch: str


SERIES = (
    Series("#0072B2", "o", "-", ""),
    Series("#D55E00", "s", "--", "//"),
    Series("#009E73", "^", "-.", ".."),
    Series("#CC79A7", "D", ":", "xx"),
    Series("#56B4E9", "v", "-", "\\\\"),
    Series("#E69F00", "P", "--", "++"),
    Series("#000000", "X", "-.", "oo"),
    Series("#666666", "*", ":", "--"),
)


def series(at: int) -> Series:
    """The look of the series number ``at``; colours repeat after eight, with another line and marker."""
    own, other = SERIES[at % len(SERIES)], SERIES[(at + at // len(SERIES)) % len(SERIES)]
    return Series(own.colour, other.marker, other.line, own.hatch)


def look() -> AbstractContextManager[None]:
    """The settings of all figures, while one is drawn and saved."""
    return mpl.rc_context(SETTINGS)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches."""
    return Figure(figsize=(width, height), layout="constrained")


def say_missing(axes: Axes, reason: str, *, width: int = 46) -> None:
    """Draw what is not there as an empty, hatched field with the reason, ``width`` letters a line."""
    axes.set_axis_on()
    axes.set_xticks([])
    axes.set_yticks([])
    axes.patch.set_hatch("//")
    axes.patch.set_facecolor("#f4f4f4")
    axes.patch.set_edgecolor("#cccccc")
    box = {"facecolor": "white", "edgecolor": "#888888", "boxstyle": "round"}
    text = textwrap.fill(f"missing: {reason}", width)
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", bbox=box)


def mark_phantoms(figure: Figure) -> Figure:
    """Say in the figure's title that it is of phantoms: its own title, else that of its first panel."""
    whole = figure.get_suptitle()
    if whole:
        figure.suptitle(phantom_title(whole))
        return figure
    first = figure.axes[0]
    first.set_title(phantom_title(first.get_title()))
    return figure


def footnote(figure: Figure, lines: Sequence[str]) -> None:
    """What the figure rests on, in small print below it."""
    text = "\n".join(textwrap.fill(line, int(figure.get_figwidth() * 22)) for line in lines if line)
    figure.supxlabel(text, fontsize=6, ha="left", x=0.01)


def as_bytes(figure: Figure, kind: str) -> bytes:
    """The figure in one format, without a date, so that the same numbers give the same bytes."""
    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    buffer = io.BytesIO()
    with look():
        figure.savefig(buffer, format=kind, metadata=metadata)
    return buffer.getvalue()


def save(figure: Figure, folder: Path, name: str, kinds: Sequence[str] = FORMATS) -> list[Path]:
    """Write a figure in each format; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for kind in kinds:
        path, content = folder / f"{name}.{kind}", as_bytes(figure, kind)

        def fill(draft: Path, content: bytes = content) -> None:
            draft.write_bytes(content)

        write_atomically(path, fill)
        written.append(path)
    return written
