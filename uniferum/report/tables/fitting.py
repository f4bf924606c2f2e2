"""Fit the columns of a sheet into a width: wrapped headings and words, else several blocks of columns.

Invariant: no number or interval is broken, and every block repeats the columns that name its rows.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Measure = Callable[[str], float]
Lines = list[str]

TOKENS = re.compile(r"\[[^\]]*\]\S*|\S+")
"""Parts of a text that stay on one line; an interval in square brackets is one."""
PIECES = re.compile(r"[^+/_\-]*[+/_\-]+|[^+/_\-]+")
"""Parts of a long word, e.g. ``CTRATE+`` and ``SEG``."""


@dataclass(frozen=True)
class Block:
    """Some columns of a sheet: each heading and entry as its lines, and the width of each column."""

    columns: tuple[int, ...]
    headings: list[Lines]
    rows: list[list[Lines]]
    widths: list[float]


def fitted(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    words: int,
    width: float,
    *,
    gap: float = 2,
    tight: float | None = None,
    measure: Measure = len,
) -> list[Block]:
    """Fit a sheet into a width; a single block without wrapping if it fits as it is.

    Args:
        headings: of the columns.
        rows: texts, one for each column.
        words: number of columns that name the rows.
        width: to fit into.
        gap: width of the space between two columns.
        tight: a smaller gap, which is taken before columns are divided into blocks.
        measure: width of a text.
    """
    columns = [[heading, *(row[at] for row in rows)] for at, heading in enumerate(headings)]
    natural = [max(map(measure, texts)) for texts in columns]
    least = [max(_least(text, at > 0, measure) for at, text in enumerate(texts)) for texts in columns]
    whole = tuple(range(len(headings)))
    if sum(natural) + gap * (len(natural) - 1) <= width:
        return [_block(whole, columns, natural, measure)]
    for between in dict.fromkeys((gap, gap if tight is None else tight)):
        inner = width - between * (len(whole) - 1)
        if sum(natural[:words]) * 0.75 + sum(least[words:]) <= inner and sum(least) <= inner:
            named = _widened(least[:words], natural[:words], inner - sum(least[words:]))
            return [_block(whole, columns, _widened([*named, *least[words:]], natural, inner), measure)]
    return [_block(part, columns, sizes, measure) for part, sizes in _parts(natural, least, words, width, gap)]


def _parts(
    natural: Sequence[float], least: Sequence[float], words: int, width: float, gap: float
) -> list[tuple[tuple[int, ...], list[float]]]:
    """Columns and their widths in each block."""
    names = list(range(words))
    left = _widened(least[:words], natural[:words], max(sum(least[:words]), width / 2 - gap * words))
    room = width - sum(left) - gap * words
    parts: list[list[int]] = [[]]
    used = 0.0
    for at in range(words, len(natural)):
        needed = least[at] + gap
        if parts[-1] and used + needed > room + gap:
            parts.append([])
            used = 0.0
        parts[-1].append(at)
        used += needed
    made = []
    for part in parts:
        columns = [*names, *part]
        inner = width - gap * (len(columns) - 1)
        sizes = _widened([*left, *(least[at] for at in part)], [natural[at] for at in columns], inner)
        made.append((tuple(columns), sizes))
    return made


def _least(text: str, entry: bool, measure: Measure) -> float:
    """Smallest width of a text: its longest part that stays on one line; of an entry, long words alone are broken."""
    parts = []
    for token in TOKENS.findall(text):
        broken = not token.startswith("[") and not re.search(r"\d\.\d", token) and not (entry and len(token) < 12)
        parts += PIECES.findall(token) if broken else [token]
    return max(map(measure, parts), default=0)


def _widened(least: Sequence[float], natural: Sequence[float], inner: float) -> list[float]:
    """Share what is left of a width among the columns that wrap, the most cramped first."""
    sizes = list(map(float, least))
    while True:
        cramped = [at for at, size in enumerate(sizes) if size < natural[at]]
        if not cramped or sum(sizes) + 1 > inner:
            return sizes
        most = max(cramped, key=lambda at: natural[at] / max(sizes[at], 1))
        sizes[most] += min(1.0, natural[most] - sizes[most])


def _block(columns: tuple[int, ...], texts: Sequence[Sequence[str]], sizes: Sequence[float], measure: Measure) -> Block:
    lines = [[wrapped(text, size, measure) for text in texts[at]] for at, size in zip(columns, sizes, strict=True)]
    widths = [max(measure(line) for text in column for line in text) for column in lines]
    return Block(
        columns,
        [column[0] for column in lines],
        [list(row) for row in zip(*(column[1:] for column in lines), strict=True)],
        widths,
    )


def wrapped(text: str, width: float, measure: Measure = len) -> Lines:
    """Wrap a text at spaces, and words that are longer than the width at ``+``, ``/``, ``_`` and ``-``."""
    if measure(text) <= width:
        return [text]
    lines = [""]
    for token in TOKENS.findall(text):
        pieces = [token] if measure(token) <= width or token.startswith("[") else PIECES.findall(token)
        for at, piece in enumerate(pieces):
            joined = lines[-1] + (" " if at == 0 and lines[-1] else "") + piece
            if not lines[-1] or measure(joined) <= width:
                lines[-1] = joined
            else:
                lines.append(piece)
    return lines
