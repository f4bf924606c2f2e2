"""Style of all figures: readable in grey and for colour-blind readers, and reproducible to the byte.

Series differ in colour, lightness, marker and line, so that no reader needs the colour. Colours are those of Okabe and
Ito (2008), with grey instead of yellow, which is hard to see on white. Heat maps use cividis.
"""

import io
import re
import textwrap
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font_names
from matplotlib.text import Text

from uniferum.atomic import write_atomically
from uniferum.data.vocabulary import Vocabulary
from uniferum.errors import UniferumError, near_miss
from uniferum.report.tables.naming import phantom_title

FORMATS = ("png", "svg", "pdf")
HEAT = "cividis"
SETTINGS: Any = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "uniferum",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,  # TrueType: journals refuse the Type 3 of Matplotlib's default
    "ps.fonttype": 42,
    "figure.dpi": 150,
    "savefig.dpi": 300,
}


@dataclass(frozen=True)
class Journal:
    """What a journal asks of figures: its column widths in inches, fonts (the first that is installed), resolution."""

    widths: tuple[float, ...]
    fonts: tuple[str, ...]
    size: float = 8
    dpi: int = 300


SANS = ("Arial", "Helvetica", "Liberation Sans", "DejaVu Sans")
JOURNALS: dict[str, Journal | None] = {
    "screen": None,
    "nature": Journal((3.5, 7.2), SANS, 7),
    "ieee": Journal((3.5, 7.16), ("Times New Roman", "Liberation Serif", "DejaVu Serif"), 8, 600),
    "elsevier": Journal((3.54, 5.51, 7.48), SANS, 7),
    "radiology": Journal((3.33, 6.9), SANS, 8),
}
"""Styles of ``--style``: column widths and fonts of the publishers' guidelines; ``screen`` is as wide as it needs."""


def check_style(name: str) -> None:
    """Check the name of a style.

    Raises:
        UniferumError: the style is unknown.
    """
    if name not in JOURNALS:
        raise UniferumError("--style", name, must="be a known style", cure=near_miss(name, JOURNALS))


def restyled(figure: Figure, name: str) -> Figure:
    """Fit a figure into the columns of a journal: the narrowest that is wide enough, else the widest.

    The height shrinks by half of what the width does, so that lines of text keep their distance.
    """
    journal = JOURNALS[name]
    if journal is None:
        return figure
    installed = get_font_names()
    font = next((name for name in journal.fonts if name in installed), journal.fonts[-1])
    width, height = figure.get_size_inches()
    fitting = next((one for one in journal.widths if one >= width), journal.widths[-1])
    figure.set_size_inches(fitting, height * (1 + min(1.0, fitting / width)) / 2)
    for text in figure.findobj(Text):
        text.set_fontfamily(font)
        text.set_fontsize(min(max(float(text.get_fontsize()) * min(1.0, fitting / width), 5.0), journal.size + 1))
    return figure


@dataclass(frozen=True)
class Series:
    """Colour, marker, line and hatching of one series."""

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
    """Style of series number ``at``; colours repeat after eight, with another line and marker."""
    own, other = SERIES[at % len(SERIES)], SERIES[(at + at // len(SERIES)) % len(SERIES)]
    return Series(own.colour, other.marker, other.line, own.hatch)


def look() -> AbstractContextManager[None]:
    """Context manager with the settings of all figures."""
    return mpl.rc_context(SETTINGS)


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure; sizes are in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def label_words(label: str) -> str:
    """A label as people write it: ``CABG``, ``12-month pulmonary hypertension``."""
    known = Vocabulary.load().labels.get(label)
    name = known.name if known else label.replace("_", " ")
    within = re.fullmatch(r"(.+) in (\d+) months?", name)
    return f"{within[2]}-month {within[1][0].lower()}{within[1][1:]}" if within else name


def say_missing(axes: Axes, reason: str, *, width: int = 46) -> None:
    """Draw an empty, hatched field with the reason why data is missing, ``width`` letters a line."""
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
    """Append "(phantoms)" to the title of a figure, or to that of its first panel."""
    whole = figure.get_suptitle()
    if whole:
        figure.suptitle(phantom_title(whole))
        return figure
    first = figure.axes[0]
    first.set_title(phantom_title(first.get_title()))
    return figure


def footnote(figure: Figure, lines: Sequence[str]) -> None:
    """Write lines in small print below a figure."""
    text = "\n".join(textwrap.fill(line, int(figure.get_figwidth() * 22)) for line in lines if line)
    figure.supxlabel(text, fontsize=6, ha="left", x=0.01)


def check_formats(kinds: Sequence[str]) -> None:
    """Check the names of file formats.

    Raises:
        UniferumError: a format is unknown.
    """
    for kind in kinds:
        if kind not in FORMATS:
            raise UniferumError("--figure-format", kind, must="be a known format", cure=near_miss(kind, FORMATS))


def as_bytes(figure: Figure, kind: str, *, style: str = "screen") -> bytes:
    """Render a figure in one format, without a date, so that the same numbers give the same bytes."""
    journal = JOURNALS[style]
    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    buffer = io.BytesIO()
    with look():
        dpi = SETTINGS["savefig.dpi"] if journal is None else journal.dpi
        figure.savefig(buffer, format=kind, metadata=metadata, dpi=dpi)
    return buffer.getvalue()


def save(
    figure: Figure, folder: Path, name: str, kinds: Sequence[str] = FORMATS, *, style: str = "screen"
) -> list[Path]:
    """Write a figure in each format, and return the paths."""
    figure = restyled(figure, style)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for kind in kinds:
        path, content = folder / f"{name}.{kind}", as_bytes(figure, kind, style=style)

        def fill(draft: Path, content: bytes = content) -> None:
            draft.write_bytes(content)

        write_atomically(path, fill)
        written.append(path)
    return written
