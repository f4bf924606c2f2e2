"""The list of cells on the page, and what the page of one cell shows: provenance, cost, config, curves and log."""

import html
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from uniferum.report.records import CellRecord, PendingCell
from uniferum.report.systems import shown_encoder
from uniferum.report.tables import sheet
from uniferum.report.tables.flagged import flag_sheet
from uniferum.report.tables.naming import titled
from uniferum.report.tables.row_counts import row_sheet
from uniferum.report.tables.segmentation import mask_cells
from uniferum.report.tables.sheet import Sheet
from uniferum.report.tables.splits import split_line

HEADINGS = [
    *("Cell", "State", "Model", "Text encoder", "Training data", "Seed"),
    *("Selection", "Best step", "Device-hours", "Dice", "Sensitivity", "Volume error", "Masks"),
]
POINTS = 400
"""Number of steps of a learning curve that are kept."""
LOG_TAIL = 8_000
"""Characters of a log that the page shows: its end."""


def glance(records: Sequence[CellRecord], pending: Sequence[PendingCell]) -> str:
    """Make the list of cells, finished or not."""
    rows = [
        [
            record.name,
            f"mean of {len(record.members)} cells" if record.members else "done",
            record.model,
            shown_encoder(record.text_encoder),
            record.mix,
            str(record.seed),
            _number((record.result.get("selection") or {}).get("value")),
            str(record.result.get("best_step", "")),
            _number(device_hours(record)),
            *mask_cells(record),
        ]
        for record in records
    ]
    rows += [
        [one.name, one.reason, one.model, shown_encoder(one.text_encoder), one.mix, str(one.seed), *[""] * 7]
        for one in pending
    ]
    commands = [f"{one.name}: {one.command}" for one in pending if one.command]
    # A column without any content is left out, e.g. those of masks.
    filled = [at for at in range(len(HEADINGS)) if at < 6 or any(row[at] for row in rows)]
    chosen = [[row[at] for at in filled] for row in rows]
    cells = titled(Sheet("Cells", [HEADINGS[at] for at in filled], chosen, words=6), [*records, *pending])
    text = sheet.as_html(cells)
    for at, record in enumerate(records):
        name = html.escape(record.name)
        text = text.replace(f"<td>{name}</td>", f'<td><a href="#cell:{at}">{name}</a></td>', 1)
    lines = "\n".join(f"<li><code>{html.escape(line)}</code></li>" for line in commands)
    said = f"{len(commands)} cells are not finished: the command of each"
    left = f"<details><summary>{said}</summary><ul>{lines}</ul></details>" if commands else ""
    return f'<div class="scroll">{text}</div>{left}'


def device_hours(record: CellRecord) -> float:
    """Training hours times the number of devices."""
    seconds = float(record.result.get("seconds") or math.nan)
    devices = record.result.get("devices")
    workers = devices.get("workers", 1) if isinstance(devices, dict) else 1
    return seconds / 3600 * float(workers or 1)


def cell_details(record: CellRecord) -> str:
    """Make the provenance, cost, flags, config and log of one cell."""
    facts = {
        "source": record.source,
        "mean of the logits of": ", ".join(one.name for one in record.members) or None,
        "training fingerprint": record.result.get("training_fingerprint"),
        "evaluation fingerprint": record.result.get("evaluation_fingerprint"),
        "commit": record.result.get("git_commit"),
        "devices": json.dumps(record.result.get("devices")),
        "device-hours": _number(device_hours(record)),
        "data": json.dumps(record.result.get("data")),
        "test splits": split_line(record),
    }
    lines = "".join(
        f'<tr><td>{_text(name)}</td><td class="words">{_text(value)}</td></tr>' for name, value in facts.items()
    )
    table = f"<table><thead><tr><th>Fact</th><th>Value</th></tr></thead><tbody>{lines}</tbody></table>"
    blocks = [f'<div class="scroll">{table}</div>']
    flags = flag_sheet(record)
    blocks += [f'<div class="scroll">{sheet.as_html(titled(flags, [record]))}</div>'] if flags else []
    rows = row_sheet(record)
    if rows:
        text = sheet.as_html(titled(rows, [record]))
        blocks.append(f'<details><summary>training rows</summary><div class="scroll">{text}</div></details>')
    blocks += [_file(record, name) for name in ("config.yaml", "environment.json", "cell.log")]
    return "".join(blocks)


def learning(record: CellRecord) -> dict[str, list[list[float]]]:
    """The recorded curves of a cell: for each metric its steps and its values."""
    steps, made = record.steps(), {}
    for name in ("validation/auroc", "loss"):
        if name in steps.columns and "step" in steps.columns:
            known = steps.loc[steps[name].notna(), ["step", name]].astype(float)
            finite = known.loc[np.isfinite(known[name])]
            if len(finite) > 1:
                thinned = finite.iloc[:: max(1, len(finite) // POINTS)]
                made[name] = [thinned["step"].tolist(), [float(f"{value:.5g}") for value in thinned[name]]]
    return made


def config_differences(records: Sequence[CellRecord]) -> list[dict[str, Any]]:
    """For each cell the cell whose recorded config differs least, and the keys that differ with both values.

    A cell that differs in its seed alone is no neighbour as long as there are others.
    """
    flat = [_flat(record.config) for record in records]
    items = [_items(record.config, one) for record, one in zip(records, flat, strict=True)]
    made: list[dict[str, Any]] = []
    for at, mine in enumerate(flat):
        others = [k for k in range(len(flat)) if k != at and flat[k]]
        if not mine or not others:
            made.append({})
            continue
        # The number of differences beside the seed. Of equally similar cells, those of the same seed come first.
        distance, seed = {k: len(items[at] ^ items[k]) for k in others}, mine.get("seed")
        nearest = min(others, key=lambda k: (distance[k] == 0, distance[k], flat[k].get("seed") != seed))
        theirs = flat[nearest]
        keys = sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))
        made.append({"to": nearest, "keys": [[key, theirs.get(key, "-"), mine.get(key, "-")] for key in keys]})
    return made


def _items(config: Mapping[str, Any], flat: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """What is compared of two configs: each key but the seed, and each name in the training data as one item."""
    names = config.get("train_on")
    single = [("train_on", str(name)) for name in names] if isinstance(names, (list, tuple)) else []
    whole = {"seed", "train_on"} if single else {"seed"}
    return frozenset([*single, *(item for item in flat.items() if item[0] not in whole)])


def _flat(config: Mapping[str, Any], before: str = "") -> dict[str, str]:
    made: dict[str, str] = {}
    for key, value in config.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            made |= _flat(value, f"{name}.")
        elif name != "name":
            made[name] = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return made


def _file(record: CellRecord, name: str) -> str:
    path = record.folder / name
    if not path.exists():
        return f'<p class="small">{name}: not recorded.</p>'
    text = path.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:]
    return f'<details><summary>{name}</summary><pre tabindex="0">{html.escape(text)}</pre></details>'


def _number(value: Any) -> str:
    return "" if value is None or not math.isfinite(float(value)) else f"{float(value):.4f}"


def _text(value: Any) -> str:
    return html.escape("" if value is None else str(value))
