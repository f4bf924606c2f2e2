"""Location of a store: a local folder, or any URL that fsspec supports; both are read and written alike.

Invariant: a file under its final name is complete. A local file is written under another name, synced and renamed;
elsewhere it is one put, which object stores publish only when it is complete.
"""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import fsspec

from uniferum.errors import UniferumError


@runtime_checkable
class StoreLocation(Protocol):
    """A folder of files, whose names may contain ``/``."""

    url: str

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        """Read bytes ``start`` to ``end`` of a file; raises FileNotFoundError."""
        ...

    def write(self, name: str, *parts: bytes) -> None:
        """Write a file with these bytes, completely or not at all."""
        ...

    def exists(self, name: str) -> bool:
        """Whether the file exists."""
        ...

    def names(self, folder: str) -> list[str]:
        """List the file names directly in ``folder``, sorted; empty if the folder does not exist."""
        ...

    def remove(self, name: str) -> None:
        """Delete a file if it exists."""
        ...


def location_of(url: str | Path) -> "LocalFolder | RemoteFolder":
    """Location of a path or URL (``s3://``, ``gs://``, ``memory://``, ...).

    Raises:
        UniferumError: fsspec does not know the protocol, or the package for it is not installed.
    """
    text = str(url)
    if "://" not in text or text.startswith("file://"):
        return LocalFolder(Path(text.removeprefix("file://")))
    return RemoteFolder(text)


class LocalFolder:
    """A folder on a local disk or NFS."""

    def __init__(self, folder: Path) -> None:
        """Set the folder, without creating it."""
        self.folder = folder
        self.url = str(folder)

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        """See :class:`StoreLocation`."""
        with (self.folder / name).open("rb") as file:
            file.seek(start)
            return file.read() if end is None else file.read(end - start)

    def write(self, name: str, *parts: bytes) -> None:
        """See :class:`StoreLocation`."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:  # on a full disk, the unfinished file would take space that a retry needs
            temporary.unlink(missing_ok=True)
            raise

    def exists(self, name: str) -> bool:
        """See :class:`StoreLocation`."""
        return (self.folder / name).exists()

    def names(self, folder: str) -> list[str]:
        """See :class:`StoreLocation`."""
        path = self.folder / folder
        return sorted(entry.name for entry in os.scandir(path) if entry.is_file()) if path.is_dir() else []

    def remove(self, name: str) -> None:
        """See :class:`StoreLocation`."""
        (self.folder / name).unlink(missing_ok=True)

    def sweep(self, folder: str, older_than_s: float = 3600) -> None:
        """Delete old unfinished files of killed processes."""
        path = self.folder / folder
        for entry in path.glob(".*.tmp") if path.is_dir() else ():
            if time.time() - entry.stat().st_mtime > older_than_s:
                entry.unlink(missing_ok=True)

    def free_bytes(self) -> int:
        """Free space on the disk of the folder, which need not exist yet."""
        folder = self.folder.absolute()
        while not folder.exists():
            folder = folder.parent
        return shutil.disk_usage(folder).free


class RemoteFolder:
    """A folder behind an fsspec URL."""

    def __init__(self, url: str) -> None:
        """Connect to the URL; see :func:`location_of`."""
        try:
            filesystem, root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise UniferumError(
                "store", url, must="be a folder or a URL that fsspec can open", cure=str(error)
            ) from None
        self.url = url.rstrip("/")
        self._filesystem: Any = filesystem
        self._root = root.rstrip("/")

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        """See :class:`StoreLocation`."""
        return self._filesystem.cat_file(self._path(name), start=start, end=end)

    def write(self, name: str, *parts: bytes) -> None:
        """See :class:`StoreLocation`."""
        self._filesystem.makedirs(self._path(name).rpartition("/")[0], exist_ok=True)
        self._filesystem.pipe_file(self._path(name), b"".join(parts))

    def exists(self, name: str) -> bool:
        """See :class:`StoreLocation`."""
        return bool(self._filesystem.exists(self._path(name)))

    def names(self, folder: str) -> list[str]:
        """See :class:`StoreLocation`."""
        return sorted(self._list(folder))

    def remove(self, name: str) -> None:
        """See :class:`StoreLocation`."""
        if self.exists(name):
            self._filesystem.rm_file(self._path(name))

    def _list(self, folder: str) -> Iterator[str]:
        if self._filesystem.exists(self._path(folder)):
            for entry in self._filesystem.ls(self._path(folder), detail=True):
                if entry["type"] == "file":
                    yield entry["name"].rpartition("/")[2]

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"
