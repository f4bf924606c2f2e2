"""Parts of the page in script files beside it, read when they are opened, so that the page itself stays small.

A browser reads no data file from a folder (``file://``), but it runs scripts from there.
"""

import json
from pathlib import Path
from typing import Any

from uniferum.atomic import write_text


def write_part(folder: Path, name: str, text: str) -> None:
    """Write the HTML of one part as ``parts/NAME.js``."""
    _write(folder, name, "showPart", text)


def write_data(folder: Path, name: str, content: Any) -> None:
    """Write the numbers of one view as ``parts/NAME.js``."""
    _write(folder, name, "showData", content)


def _write(folder: Path, name: str, called: str, content: Any) -> None:
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    write_text(folder / "parts" / f"{name}.js", f"window.{called}({json.dumps(name)},{text});\n")


def opened_later(name: str, said: str) -> str:
    """Make the element that reads a part when it is opened."""
    return f'<details class="part" data-part="{name}"><summary>{said}</summary><div></div></details>'


def embedded(name: str, content: Any) -> str:
    """Make a script element that holds data; its text cannot end the element early."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'
