"""A spool as its reader sees it: whole lines from where it stopped, and metrics of steps not sent before."""

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestration.grid.records import read_json

log = logging.getLogger(__name__)


def unsent(folder: Path, uri: str | None = None) -> bool:
    """Whether a spool has lines that ``uri`` (or, without one, the last server) did not take."""
    spool, sent = folder / "spool.jsonl", read_json(folder / "spool.sent.json") or {}
    if not spool.exists():
        return False
    return (sent.get("offset", 0) if uri in (None, sent.get("uri")) else 0) < spool.stat().st_size


def records_left(folder: Path, uri: str | None = None) -> int:
    """How many lines of a spool ``uri`` (or, without one, the last server) did not take."""
    spool, sent = folder / "spool.jsonl", read_json(folder / "spool.sent.json") or {}
    if not spool.exists():
        return 0
    with spool.open("rb") as lines:
        lines.seek(sent.get("offset", 0) if uri in (None, sent.get("uri")) else 0)
        return sum(1 for _ in lines)


def parts(spool: Path, offset: int) -> Iterator[tuple[list[dict[str, Any]], int]]:
    """Whole lines from ``offset`` on, some hundreds at a time, each part with the offset behind it."""
    with spool.open("rb") as lines:
        lines.seek(offset)
        entries: list[dict[str, Any]] = []
        for line in lines:
            if not line.endswith(b"\n"):
                break  # still being written
            offset += len(line)
            entries += _entry(line)
            if len(entries) >= 200:
                yield entries, offset
                entries = []
        if entries:
            yield entries, offset


def _entry(line: bytes) -> list[dict[str, Any]]:
    try:
        return [json.loads(line)]
    except json.JSONDecodeError:
        log.warning("a spooled line cut short by a kill is left out")
        return []


def fresh_metrics(entry: Mapping[str, Any], last_step: dict[str, int]) -> Iterator[tuple[str, float, int, int]]:
    """Metrics of steps not sent before: after a resume a cell reports again what came after its checkpoint.

    A ``final`` line is a result, which scoring anew gives again for the same step: MLflow takes the later one as the
    value, and the same one, sent twice, once.
    """
    for key, value in entry.get("metrics", {}).items():
        if entry.get("final") or entry["step"] > last_step.get(key, -1):
            last_step[key] = max(entry["step"], last_step.get(key, -1))
            yield key, value, entry["time"], entry["step"]
