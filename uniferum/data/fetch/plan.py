"""Plan of a fetch: files with sizes and checksums, existing files and free space.

``uniferum_fetch.json`` in the dataset's folder records what was requested, so that the same command continues, and
``uniferum data check`` can distinguish a partial download from a requested subset.
"""

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from uniferum.errors import StateError, UniferumError
from uniferum.preprocessing.store.filesystem import LocalFolder

RECORD = "uniferum_fetch.json"
FORMAT = 1
MARGIN = 2**30
"""Bytes that must stay free after a download."""


@dataclass(frozen=True)
class RemoteFile:
    """One file to fetch.

    Attributes:
        path: path in the dataset's folder, with ``/``.
        size: size in bytes.
        checksum: ``sha256:...`` or ``md5:...``; empty if the server gives none.
        address: URL of the file; for the hub, its path in the repository.
    """

    path: str
    size: int
    checksum: str = ""
    address: str = ""

    def __post_init__(self) -> None:
        pure = PurePosixPath(self.path)
        if not self.path or pure.is_absolute() or ".." in pure.parts or "\\" in self.path or "\0" in self.path:
            raise UniferumError("a file name of the server", self.path, must="stay within the dataset's folder")


@dataclass(frozen=True)
class FetchPlan:
    """All files of a fetch.

    Attributes:
        dataset: name of the cohort.
        revision: revision of the repository or the record, so that all files are consistent.
        splits: requested splits; empty means all.
        limit: maximum number of scans of each split; None means all.
        files: files to fetch.
        volumes: number of volumes in ``files``.
        unpacked_bytes: estimated additional bytes after unpacking archives.
        notes: sentences for the user.
    """

    dataset: str
    revision: str
    splits: tuple[str, ...]
    limit: int | None
    files: tuple[RemoteFile, ...]
    volumes: int = 0
    unpacked_bytes: int = 0
    notes: tuple[str, ...] = ()

    @property
    def total_bytes(self) -> int:
        """Bytes to download into an empty folder."""
        return sum(file.size for file in self.files)

    def missing(self, out: Path) -> list[RemoteFile]:
        """Files that are missing or incomplete."""
        return [file for file in self.files if not has_size(out / file.path, file.size)]

    def sentence(self, out: Path) -> str:
        """Number of files, sizes and free space, in one line."""
        due = self.missing(out)
        grown = f", about {gb(self.unpacked_bytes)} more once unpacked" if self.unpacked_bytes else ""
        return (
            f"{self.dataset}: {len(self.files)} files, {gb(self.total_bytes)}{grown}; "
            f"{len(self.files) - len(due)} exist, {gb(sum(file.size for file in due))} to download; "
            f"{gb(free_bytes(out))} free at {out}"
        )

    def check_space(self, out: Path) -> None:
        """Refuse a fetch that does not fit on the disk.

        Raises:
            StateError: the missing files need more than the free space.
        """
        needed = sum(file.size for file in self.missing(out)) + self.unpacked_bytes + MARGIN
        free = free_bytes(out)
        if needed > free:
            cure = "Use a larger disk with --out, or fetch a part with --split or --limit."
            raise StateError(f"--out {out} has {gb(free)} free; the files need about {gb(needed)}", cure=cure)


@dataclass
class Record:
    """Record of all fetches into a folder.

    Attributes:
        dataset: name of the cohort.
        revision: revision of the newest fetch.
        limits: split (or ``all``) to its limit; None means no limit.
        files: path to size and checksum.
        done: whether the newest fetch is finished.
    """

    dataset: str
    revision: str = ""
    limits: dict[str, int | None] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    done: bool = False

    @classmethod
    def read(cls, folder: Path) -> "Record | None":
        """Read the record of a folder; None if nothing was fetched into it by this program.

        Raises:
            UniferumError: the record is damaged.
        """
        path = folder / RECORD
        try:
            content = json.loads(path.read_bytes())
            if content.pop("format") != FORMAT:
                raise ValueError
            return cls(**content)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            cure = "delete it; the next fetch writes it again and keeps existing files"
            raise UniferumError(str(path), must="be a record of uniferum data fetch", cure=cure) from None

    def write(self, folder: Path) -> None:
        """Write the record atomically."""
        content = json.dumps({"format": FORMAT, **self.__dict__}, indent=1).encode()
        LocalFolder(folder).write(RECORD, content)

    def add(self, files: Iterable[RemoteFile]) -> None:
        """Add files that the folder should contain."""
        self.files |= {file.path: {"size": file.size, "checksum": file.checksum} for file in files}

    def missing(self, folder: Path) -> list[str]:
        """Requested files that are missing or incomplete."""
        return [path for path, about in self.files.items() if not has_size(folder / path, about["size"])]


def begin_record(plan: FetchPlan, out: Path) -> Record:
    """Merge this plan into the folder's record, which is written before the first byte is fetched.

    Raises:
        UniferumError: the folder contains another dataset.
    """
    record = Record.read(out) or Record(plan.dataset)
    if record.dataset != plan.dataset:
        raise UniferumError(f"--out {out}", record.dataset, must=f"contain {plan.dataset} or be empty")
    record.revision, record.done = plan.revision, False
    for split in plan.splits or ("all",):
        before = record.limits.get(split, 0)
        larger = None if plan.limit is None or before is None else max(plan.limit, before)
        record.limits[split] = larger
    record.write(out)
    return record


def has_size(path: Path, size: int) -> bool:
    """Whether a file exists with its full size."""
    try:
        return path.is_file() and path.stat().st_size == size
    except OSError:
        return False


def free_bytes(folder: Path) -> int:
    """Free bytes on the disk of a folder, which need not exist yet."""
    existing = folder.resolve()
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free


def gb(count: float) -> str:
    """Format a number of bytes for people."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} bytes"
