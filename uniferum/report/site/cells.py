"""The list of cells on the page, and the details of one cell: config, curve, log and provenance."""

import html
import json
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

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
LOG_TAIL = 20_000


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
    cells = titled(Sheet("Cells", HEADINGS, rows, commands, words=6), [*records, *pending])
    return f'<div class="scroll">{sheet.as_html(cells)}</div>'


def device_hours(record: CellRecord) -> float:
    """Training hours times the number of devices."""
    seconds = float(record.result.get("seconds") or math.nan)
    devices = record.result.get("devices")
    workers = devices.get("workers", 1) if isinstance(devices, dict) else 1
    return seconds / 3600 * float(workers or 1)


def cell_details(record: CellRecord) -> str:
    """Make the collapsible block with the details of one cell."""
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
    lines = "".join(f"<tr><td>{_text(name)}</td><td>{_text(value)}</td></tr>" for name, value in facts.items())
    blocks = [f"<table><thead><tr><th>Fact</th><th>Value</th></tr></thead><tbody>{lines}</tbody></table>"]
    flags = flag_sheet(record)
    blocks += [sheet.as_html(titled(flags, [record]))] if flags else []
    rows = row_sheet(record)
    if rows:
        blocks.append(f"<details><summary>training rows</summary>{sheet.as_html(titled(rows, [record]))}</details>")
    blocks.append(chart(record.steps()))
    blocks += [_file(record, name) for name in ("config.yaml", "environment.json", "cell.log")]
    return f"<details><summary>{_text(record.name)}</summary>{''.join(blocks)}</details>"


def chart(steps: pd.DataFrame) -> str:
    """Draw validation AUROC and loss by step as a small SVG; a sentence if there are no steps."""
    drawn = [
        _line(steps, name, colour, dash)
        for name, colour, dash in (("validation/auroc", "#0072B2", ""), ("loss", "#D55E00", "4 3"))
        if name in steps.columns and "step" in steps.columns
    ]
    if not any(drawn):
        return '<p class="small">No metric by step was recorded.</p>'
    said = "solid: validation AUROC; dashed: loss; each from its least to its largest value"
    return f'<svg class="chart" viewBox="0 0 460 180" role="img">{"".join(drawn)}</svg><p class="small">{said}</p>'


def _line(steps: pd.DataFrame, name: str, colour: str, dash: str) -> str:
    known = steps.loc[steps[name].notna(), ["step", name]].to_numpy(dtype=float)
    if len(known) < 2:
        return ""
    low, high = known.min(axis=0), known.max(axis=0)
    scaled = (known - low) / [max(high[0] - low[0], 1e-12), max(high[1] - low[1], 1e-12)]
    points = " ".join(f"{10 + 440 * x:.1f},{165 - 150 * y:.1f}" for x, y in scaled)
    ends = f"{_text(name)}: {low[1]:.4g} to {high[1]:.4g}"
    line = f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-dasharray="{dash}"/>'
    return f"<g><title>{ends}</title>{line}</g>"


def _file(record: CellRecord, name: str) -> str:
    path = record.folder / name
    if not path.exists():
        return f'<p class="small">{name}: not recorded.</p>'
    text = path.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:]
    return f"<details><summary>{name}</summary><pre>{html.escape(text)}</pre></details>"


def _number(value: Any) -> str:
    return "" if value is None or not math.isfinite(float(value)) else f"{float(value):.4f}"


def _text(value: Any) -> str:
    return html.escape("" if value is None else str(value))
