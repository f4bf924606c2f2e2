"""Read a spool: complete lines from an offset, and the metrics that were not sent before."""

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


def read_batches(spool: Path, offset: int) -> Iterator[tuple[list[dict[str, Any]], int]]:
    """Yield the complete lines after ``offset`` in batches of 200 entries, each with the offset of its end."""
    with spool.open("rb") as lines:
        lines.seek(offset)
        entries: list[dict[str, Any]] = []
        for line in lines:
            if not line.endswith(b"\n"):
                break  # still being written
            offset += len(line)
            entries += _parse(line)
            if len(entries) >= 200:
                yield entries, offset
                entries = []
        if entries:
            yield entries, offset


def _parse(line: bytes) -> list[dict[str, Any]]:
    try:
        return [json.loads(line)]
    except json.JSONDecodeError:
        log.warning("Skipping an incomplete spool line: its writer was killed")
        return []


def new_metrics(entry: Mapping[str, Any], last_step: dict[str, int]) -> Iterator[tuple[str, float, int, int]]:
    """Yield the metrics of steps that were not sent before: a resumed cell repeats the steps after its checkpoint.

    A ``final`` line is a result. Scoring again gives a new result for the same step, so it is always sent: MLflow shows
    the latest one, and stores identical rows once.
    """
    for key, value in entry.get("metrics", {}).items():
        if entry.get("final") or entry["step"] > last_step.get(key, -1):
            last_step[key] = max(entry["step"], last_step.get(key, -1))
            yield key, value, entry["time"], entry["step"]
