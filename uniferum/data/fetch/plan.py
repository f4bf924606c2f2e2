"""What a fetch would bring: files with sizes and checksums, against what is there and the space that is free.

``uniferum_fetch.json`` in the dataset's folder keeps what was asked for, so that the same command goes on and
``uniferum data check`` can tell a partial download from a chosen subset.
"""

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from uniferum.errors import UniferumError
from uniferum.preprocessing.store.filesystem import LocalFolder

RECORD = "uniferum_fetch.json"
FORMAT = 1
MARGIN = 2**30
"""Bytes that stay free beside a download."""


@dataclass(frozen=True)
class RemoteFile:
    """One file to fetch.

    Attributes:
        path: relative to the dataset's folder, with ``/``.
        size: in bytes.
        checksum: ``sha256:...`` or ``md5:...``; empty where the server gives none.
        address: where it is read from; for the hub its path in the repository.
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
    """Everything that a fetch would bring.

    Attributes:
        dataset: the cohort's name.
        revision: of the repository or the record, so that all files are of one state.
        splits: the splits that were asked for; empty means all.
        limit: scans of each split at most; None means all.
        files: what is fetched.
        volumes: how many of ``files`` are volumes.
        unpacked_bytes: what archives grow by when they are unpacked, an estimate.
        notes: sentences for the person at the terminal.
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
        """Bytes to download when nothing is there yet."""
        return sum(file.size for file in self.files)

    def missing(self, out: Path) -> list[RemoteFile]:
        """The files that are not there in full length."""
        return [file for file in self.files if not has_size(out / file.path, file.size)]

    def sentence(self, out: Path) -> str:
        """Files, sizes and the free space, on one line."""
        due = self.missing(out)
        grown = f", about {gb(self.unpacked_bytes)} more once unpacked" if self.unpacked_bytes else ""
        return (
            f"{self.dataset}: {len(self.files)} files, {gb(self.total_bytes)}{grown}; "
            f"{len(self.files) - len(due)} are there, {gb(sum(file.size for file in due))} to download; "
            f"{gb(free_bytes(out))} free at {out}"
        )

    def check_space(self, out: Path) -> None:
        """Refuse to begin what the disk cannot hold.

        Raises:
            UniferumError: less is free than the files that are still missing will take.
        """
        needed = sum(file.size for file in self.missing(out)) + self.unpacked_bytes + MARGIN
        free = free_bytes(out)
        if needed > free:
            cure = "give a larger disk with --out, or fetch a part: --split, --limit"
            raise UniferumError(f"--out {out}", f"{gb(free)} free", must=f"have about {gb(needed)}", cure=cure)


@dataclass
class Record:
    """What was fetched into a folder, by all fetches so far.

    Attributes:
        dataset: the cohort's name.
        revision: of the newest fetch.
        limits: split (or ``all``) to the limit that it was fetched with; None means no limit.
        files: path to size and checksum.
        done: whether the newest fetch came to its end.
    """

    dataset: str
    revision: str = ""
    limits: dict[str, int | None] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    done: bool = False

    @classmethod
    def read(cls, folder: Path) -> "Record | None":
        """The record of a folder; None where nothing was fetched into it by this program.

        Raises:
            UniferumError: the record is damaged.
        """
        path = folder / RECORD
        try:
            found = json.loads(path.read_bytes())
            if found.pop("format") != FORMAT:
                raise ValueError
            return cls(**found)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            cure = "delete it; the next fetch writes it anew and keeps the files that are there"
            raise UniferumError(str(path), must="be a record of uniferum data fetch", cure=cure) from None

    def write(self, folder: Path) -> None:
        """Write the record, whole or not at all."""
        content = json.dumps({"format": FORMAT, **self.__dict__}, indent=1).encode()
        LocalFolder(folder).write(RECORD, content)

    def add(self, files: Iterable[RemoteFile]) -> None:
        """Expect these files in the folder from now on."""
        self.files |= {file.path: {"size": file.size, "checksum": file.checksum} for file in files}

    def missing(self, folder: Path) -> list[str]:
        """Files that were asked for and are not there in full length."""
        return [path for path, about in self.files.items() if not has_size(folder / path, about["size"])]


def begin_record(plan: FetchPlan, out: Path) -> Record:
    """The folder's record with this plan laid over it, written before the first byte is fetched.

    Raises:
        UniferumError: the folder holds another dataset.
    """
    record = Record.read(out) or Record(plan.dataset)
    if record.dataset != plan.dataset:
        raise UniferumError(f"--out {out}", record.dataset, must=f"hold {plan.dataset} or nothing")
    record.revision, record.done = plan.revision, False
    for split in plan.splits or ("all",):
        before = record.limits.get(split, 0)
        larger = None if plan.limit is None or before is None else max(plan.limit, before)
        record.limits[split] = larger
    record.write(out)
    return record


def has_size(path: Path, size: int) -> bool:
    """Whether a file is there in full length."""
    try:
        return path.is_file() and path.stat().st_size == size
    except OSError:
        return False


def free_bytes(folder: Path) -> int:
    """Bytes free where a folder lies, or will lie."""
    there = folder.resolve()
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free


def gb(count: float) -> str:
    """Bytes as a person reads them."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} bytes"
