"""Records of a cell that are not in MLflow yet: lines of its spool, and a result that was not added to the spool.

``spool.sent.json`` beside a spool says how far the uploader came, and ``spooled.json`` which result is in the spool. So
any shell can tell what waits, also after the driver has ended.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from orchestration.grid.records import CellFolder, read_json


def has_unsent(folder: Path, server: str | None = None) -> bool:
    """Whether a spool has lines that were not uploaded to ``server`` (default: the last server)."""
    spool = folder / "spool.jsonl"
    return spool.exists() and _sent(folder, server) < spool.stat().st_size


def count_unsent(folder: Path, server: str | None = None) -> int:
    """Number of lines of a spool that were not uploaded to ``server`` (default: the last server)."""
    if not has_unsent(folder, server):
        return 0
    with (folder / "spool.jsonl").open("rb") as lines:
        lines.seek(_sent(folder, server))
        return sum(1 for _ in lines)


def result_mark(record: CellFolder) -> dict[str, Any]:
    """What ``spooled.json`` contains when the present result of a cell is in its spool."""
    return {"result_time": int(record.files.result.stat().st_mtime * 1000)}


def result_is_spooled(record: CellFolder) -> bool:
    """Whether the present result of a finished cell was added to its spool."""
    return read_json(record.folder / "spooled.json") == result_mark(record)


def waits_for_mlflow(folder: Path) -> bool:
    """Whether records of a finished cell are not in MLflow yet; false if it never wrote any for MLflow."""
    record = CellFolder(folder)
    if not record.spool.exists():
        return False
    return has_unsent(folder) or (record.files.result.exists() and not result_is_spooled(record))


def waiting_text(folders: Iterable[Path], server: str | None = None) -> str | None:
    """How many records of how many cells wait, e.g. ``12 records of 2 cells``; None if there are none."""
    counts = [count for folder in folders if (count := count_unsent(folder, server))]
    if not counts:
        return None
    return f"{sum(counts):,} record{'s' * (sum(counts) > 1)} of {len(counts)} cell{'s' * (len(counts) > 1)}"


def _sent(folder: Path, server: str | None) -> int:
    sent = read_json(folder / "spool.sent.json") or {}
    return sent.get("offset", 0) if server in (None, sent.get("uri")) else 0
