"""A small file system (tmpfs, only root may mount it) that a test can fill to the last byte."""

import errno
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Disk:
    """A mounted file system."""

    folder: Path

    @contextmanager
    def full(self) -> Iterator[None]:
        """Keep the file system full within the context: take also the space that others free meanwhile."""
        ballast, enough = self.folder / "ballast", threading.Event()
        filling = threading.Thread(target=_fill, args=(ballast, enough))
        filling.start()
        try:
            yield
        finally:
            enough.set()
            filling.join()
            ballast.unlink()


@contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[Disk]:
    """Mount one; skip the test with the system's message where mounting is not allowed."""
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill(ballast: Path, enough: threading.Event) -> None:
    descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    try:
        while not enough.is_set():
            for size in (1 << 20, 1 << 12, 1):
                _write_until_full(descriptor, b"\0" * size)
            enough.wait(0.02)
    finally:
        os.close(descriptor)


def _write_until_full(descriptor: int, block: bytes) -> None:
    while True:
        try:
            os.write(descriptor, block)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                return
            raise
