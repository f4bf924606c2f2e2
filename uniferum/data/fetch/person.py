"""Manual steps for INSPECT, which cannot be downloaded automatically, and a check of their result."""

from pathlib import Path

from uniferum.data.fetch.sources import PersonSource


def steps(source: PersonSource, out: Path) -> list[str]:
    """Numbered steps with the owners' page and the folder filled in."""
    lines, number = [], 0
    for step in source.steps:
        text = step.format(page=source.page, out=out)
        number += not text.startswith(" ")
        lines.append(text if text.startswith(" ") else f"{number}. {text}")
    return lines


def missing(source: PersonSource, out: Path) -> list[str]:
    """Patterns of required files that match nothing in the dataset's folder."""
    folder = out / source.folder
    return [pattern for pattern in source.needed if next(iter(folder.glob(pattern)), None) is None]
