"""Unpack selected members of a zip archive into the dataset's folder, and nothing outside it.

A member's name must stay inside the folder, it must not be a link, and its size must match the archive's declaration
and a maximum ratio, so that a forged archive cannot fill the disk.
"""

import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import IO

from uniferum.data.fetch.plan import MARGIN, RemoteFile, free_bytes, gb, has_size
from uniferum.errors import StateError, UniferumError

WIDEST = 200
"""Maximum ratio of unpacked to packed bytes of a member; deflate reaches about 1,030, CT about 3."""
CHUNK = 2**20


def members(archive: Path, patterns: Iterable[str]) -> list[zipfile.ZipInfo]:
    """Members that match one of the patterns, in the archive's order.

    Raises:
        UniferumError: it is not a complete zip archive, or has a name that leads out of the folder.
    """
    pattern_list = tuple(patterns)
    try:
        with zipfile.ZipFile(archive) as opened:
            return [_checked(archive, info) for info in opened.infolist() if _fits(info, pattern_list)]
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise _damaged(archive, error) from None


def unpack(
    archive: Path, chosen: Iterable[zipfile.ZipInfo], out: Path, heard: Callable[[int], None] | None = None
) -> Iterator[RemoteFile]:
    """Unpack members, each completely or not at all; complete existing files are kept.

    Yields:
        each existing or unpacked file.

    Raises:
        UniferumError: the disk is too small, a member is damaged or larger than declared, or its method is unknown.
    """
    chosen = list(chosen)
    needed = sum(info.file_size for info in chosen if not has_size(out / info.filename, info.file_size))
    if needed + MARGIN > free_bytes(out):
        statement = f"{out} has {gb(free_bytes(out))} free; unpacking needs {gb(needed + MARGIN)}"
        raise StateError(statement, cure="Free some space, or use a larger disk with --out.")
    with zipfile.ZipFile(archive) as opened:
        for info in chosen:
            if not has_size(out / info.filename, info.file_size):
                _one(opened, archive, info, out)
            if heard is not None:
                heard(info.file_size)
            yield RemoteFile(info.filename, info.file_size)


def _one(opened: zipfile.ZipFile, archive: Path, info: zipfile.ZipInfo, out: Path) -> None:
    target = out / info.filename
    if not target.parent.resolve().is_relative_to(out.resolve()):
        raise UniferumError(f"{archive}: {info.filename}", must="stay within the folder", cure="a link leads outside")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    try:
        with opened.open(info) as packed, part.open("wb") as file:
            _copy(packed, file, info.file_size, f"{archive.name}: {info.filename}")
    except NotImplementedError:
        cure = f"Python cannot unpack its method {info.compress_type}: 7z x {archive} -o{out}"
        raise UniferumError(f"{archive}: {info.filename}", must="be packed by deflate", cure=cure) from None
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise _damaged(archive, error) from None
    finally:
        if part.exists() and not has_size(part, info.file_size):
            part.unlink()
    part.replace(target)


def _copy(packed: IO[bytes] | BufferedIOBase, file: IO[bytes], size: int, name: str) -> None:
    """Copy at most the declared bytes; the archive's checksum is verified at the end of the member."""
    written = 0
    while piece := packed.read(CHUNK):
        written += len(piece)
        if written > size:
            raise UniferumError(name, must=f"hold the {size} bytes that the archive declares")
        file.write(piece)
    if written != size:
        raise UniferumError(name, f"{written} bytes", must=f"hold the {size} bytes that the archive declares")


def _fits(info: zipfile.ZipInfo, patterns: tuple[str, ...]) -> bool:
    return not info.is_dir() and any(fnmatchcase(info.filename, pattern) for pattern in patterns)


def _checked(archive: Path, info: zipfile.ZipInfo) -> zipfile.ZipInfo:
    pure = PurePosixPath(info.filename)
    if pure.is_absolute() or ".." in pure.parts or "\\" in info.filename or ":" in info.filename:
        raise UniferumError(f"{archive}: {info.filename}", must="stay within the folder", cure="not unpacked")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise UniferumError(f"{archive}: {info.filename}", must="be a file, not a link", cure="not unpacked")
    if info.file_size > WIDEST * max(info.compress_size, 1):
        growth = f"{info.compress_size} bytes grow to {info.file_size}"
        raise UniferumError(f"{archive}: {info.filename}", growth, must=f"grow at most {WIDEST}-fold when unpacked")
    return info


def _damaged(archive: Path, error: BaseException) -> UniferumError:
    cure = "delete it and run the same command again"
    return UniferumError(str(archive), " ".join(str(error).split())[:100], must="be a complete zip archive", cure=cure)
