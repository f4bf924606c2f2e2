"""Cells that started but have no result: their progress, or why they failed, read from their folders."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uniferum.config import load_yaml
from uniferum.report.cited_systems import row_model
from uniferum.report.read_records import cell_folders, read_axes
from uniferum.report.records import PendingCell, mix_name, read_steps
from uniferum.report.systems import encoder_word, other_system, recorded_folds, section
from uniferum.run_files import RunFiles
from uniferum.systems import UNIFERUM


def unfinished(root: Path | str) -> list[PendingCell]:
    """List the cells below ``root`` that started but have no result."""
    return [_pending(folder) for folder in cell_folders(Path(root)) if not RunFiles(folder).done]


def _pending(folder: Path) -> PendingCell:
    path = RunFiles(folder).config
    config = load_yaml(path) if path.exists() else {}
    name = str(config.get("name") or folder.name.rsplit("-", 1)[0])
    model = section(config, "model")
    kind = str(model.get("kind") or UNIFERUM)
    mix, seed = mix_name(config.get("train_on") or ["?"]), int(config.get("seed") or 0)
    text = model.get("text") or {}
    return PendingCell(
        name,
        row_model(kind, model),
        encoder_word(kind, text),
        mix,
        seed,
        _why_unfinished(folder, config),
        other_system=other_system(kind, model, section(config, "geometry")),
        text=text,
        folds=recorded_folds(section(config, "data")),
        axes=read_axes(RunFiles(folder).axes),
        config=config,
    )


def _why_unfinished(folder: Path, config: Mapping[str, Any]) -> str:
    failure = folder / "failure.json"
    if failure.exists():
        try:
            return f"failed: {json.loads(failure.read_text(encoding='utf-8'))['reason']}"
        except (ValueError, KeyError, TypeError):
            return "failed: the reason is unreadable"
    steps = read_steps(RunFiles(folder).steps)
    total = (config.get("training") or {}).get("steps")
    if len(steps) and total and "step" in steps:
        reached = max(steps["step"].tolist())
        return f"unfinished at {100 * reached / float(total):.0f} %"
    return "started, no step yet"
