"""Detect one file under two scan ids, by device and inode, so that links of both kinds are recognised."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from uniferum.data.card import ROUNDED, alike, is_rounded
from uniferum.data.cohorts.files import without_ending
from uniferum.data.cohorts.tables import Index


class SharedFiles:
    """Counts scans that share a file, or differ from an earlier id only in spelling, in bounded memory."""

    def __init__(self) -> None:
        self._first = Index[str]()
        self._shared, self._across, self._alike, self._rounded = 0, 0, 0, 0
        self._examples: dict[str, tuple[str, str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._first.close()

    def add(self, scan_id: str, split: str, path: Path) -> None:
        """Check the file of one scan."""
        self._rounded += is_rounded(scan_id)
        name = f"id:{without_ending(alike(scan_id))}"
        if not self._first.add(name, {"scan": scan_id}):
            self._alike += 1
            self._examples.setdefault("alike", (scan_id, (self._first.peek(name) or {})["scan"]))
        try:
            status = path.stat()
        except OSError:  # deleted after listing: the preparation reports it
            return
        key = f"{status.st_dev}:{status.st_ino}"
        if self._first.add(key, {"scan": scan_id, "split": split}):
            return
        first = self._first.peek(key) or {}
        self._shared += 1
        self._examples.setdefault("shared", (scan_id, first["scan"]))
        if first["split"] != split:
            self._across += 1
            self._examples.setdefault("across", (scan_id, first["scan"]))

    def notes(self) -> Iterator[str]:
        """Notes for the data card."""
        if self._rounded:
            yield f"{self._rounded} scan ids {ROUNDED}"
        if self._alike:
            one, other = self._examples["alike"]
            yield (
                f"{self._alike} scan ids differ from another only in case, spaces, leading zeros or ending "
                f"(first: {one} and {other})"
            )
        if self._shared:
            one, other = self._examples["shared"]
            yield f"{self._shared} scans have the same file as another scan id (first: {one} and {other})"
        if self._across:
            one, other = self._examples["across"]
            yield (
                f"{self._across} scans have the same file as a scan of another split, so that one image is used for "
                f"training and testing (first: {one} and {other})"
            )
