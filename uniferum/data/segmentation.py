"""Make organ masks with TotalSegmentator, if it is installed, in the cohort's folder for masks (paper 3.5).

Each scan is written as NIfTI by our own reader, so that masks have the geometry that preparation uses, even if a
dataset's header is wrong or missing (npz, CT-RATE v1). A mask is written completely or not at all; scans with a mask
are skipped, so an interrupted run continues. ``orchestration/segment.py`` distributes the scans over GPUs and machines.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import nibabel

from uniferum.data.cohorts.base import Cohort, Scan
from uniferum.data.vocabulary import TOTALSEGMENTATOR
from uniferum.errors import StateError, UniferumError
from uniferum.preprocessing.formats.load import read_volume

PROGRAM = "TotalSegmentator"
INSTALL = "In the project's folder, `pip install -e '.[segment]'` installs TotalSegmentator 2."
UNFINISHED = ".segment-"
"""Prefix of the folder in which a mask is being made."""

LAST_WORDS = 200
"""Number of characters of the program's error that are shown."""


@dataclass(frozen=True)
class Segmented:
    """Result of one scan; ``fault`` is empty if its mask exists.

    Attributes:
        scan_id: the dataset's scan id.
        fault: reason why there is no mask, in one line.
        kept: whether the mask already existed, made by another run in the meantime.
    """

    scan_id: str
    fault: str = ""
    kept: bool = False


@dataclass(frozen=True)
class Shard:
    """One of ``count`` parts of a cohort, so that independent machines can share the work.

    The part of a scan depends only on its id, so it does not change when masks are made and scans are added.
    """

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Parse ``INDEX/COUNT`` with the index from 0.

        Raises:
            UniferumError: the text has another form, or the index is not below the count.
        """
        index, slash, count = text.partition("/")
        if not (slash and index.isdecimal() and count.isdecimal() and int(index) < int(count)):
            raise UniferumError("--shard", text, must="be INDEX/COUNT with 0 <= INDEX < COUNT", cure="e.g. 0/8 to 7/8")
        return cls(int(index), int(count))

    def holds(self, scan_id: str) -> bool:
        """Whether a scan belongs to this part."""
        return int.from_bytes(hashlib.sha256(scan_id.encode()).digest()[:8], "big") % self.count == self.index


def installed_program() -> str:
    """Path of the program.

    Raises:
        StateError: it is not installed; the message says how to install it.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise StateError(f"{PROGRAM} is not installed", cure=INSTALL)
    return program


def waiting(cohort: Cohort) -> Iterator[Scan]:
    """Yield the scans without a TotalSegmentator layer.

    Raises:
        UniferumError: the cohort's config has no folder for masks.
    """
    masks_folder(cohort)
    for scan in cohort.scans():
        if all(mask.layer != TOTALSEGMENTATOR for mask in scan.source.masks):
            yield scan


def masks_folder(cohort: Cohort) -> Path:
    """Folder for masks, from which the cohort reads them.

    Raises:
        UniferumError: the config has no ``masks_root``.
    """
    config = cohort.config
    if config.masks_root is None:
        cure = "set masks_root=ts_total; CT-RATE contains masks"
        raise UniferumError(f"cohort {cohort.name}: masks_root", must="be given", cure=cure)
    return config.root / config.masks_root


def sweep(folder: Path, older_than_s: float) -> None:
    """Delete unfinished masks of killed runs, which are as large as a scan; recent ones may belong to other runs."""
    for entry in folder.glob(f"{UNFINISHED}*") if folder.is_dir() else ():
        if time.time() - entry.stat().st_mtime > older_than_s:
            shutil.rmtree(entry, ignore_errors=True)


def arguments(program: str, scan: Path, mask: Path, *, device: str, fast: bool) -> list[str]:
    """Command line, used without a shell, for one multi-label file of task ``total``."""
    line = [program, "-i", str(scan), "-o", str(mask), "--ml", "--task", "total", "--device", device]
    return [*line, "--fast"] if fast else line


def segment(
    scans: Iterator[Scan] | Sequence[Scan],
    folder: Path,
    program: str,
    *,
    device: str = "gpu",
    fast: bool = False,
    timeout_s: float = 3600.0,
) -> Iterator[Segmented]:
    """Segment the scans one after another; a scan that fails is reported, and the next one follows.

    Args:
        scans: scans from :func:`waiting`.
        folder: folder for ``<scan id>.nii.gz``.
        program: path from :func:`installed_program`.
        device: ``gpu``, ``gpu:1``, ``cpu`` or ``mps``.
        fast: whether to use the 3 mm model.
        timeout_s: time-out for one scan in seconds.
    """
    for scan in scans:
        yield segment_one(scan, folder, program, device=device, fast=fast, timeout_s=timeout_s)


def segment_one(
    scan: Scan, folder: Path, program: str, *, device: str = "gpu", fast: bool = False, timeout_s: float = 3600.0
) -> Segmented:
    """Segment one scan, unless its mask exists; arguments as in :func:`segment`; a bad scan raises no error."""
    try:
        if Path(scan.scan_id).name != scan.scan_id:
            raise UniferumError("scan id", scan.scan_id, must="be a file name")
        target = folder / f"{scan.scan_id}.nii.gz"
        if target.exists():
            return Segmented(scan.scan_id, kept=True)
        folder.mkdir(parents=True, exist_ok=True)
        _write_mask(scan, target, program, device=device, fast=fast, timeout_s=timeout_s)
    except (UniferumError, OSError) as error:
        return Segmented(scan.scan_id, " ".join(str(error).split()))
    except subprocess.TimeoutExpired:
        return Segmented(scan.scan_id, f"took more than {timeout_s:.0f} s")
    return Segmented(scan.scan_id)


def _write_mask(scan: Scan, target: Path, program: str, *, device: str, fast: bool, timeout_s: float) -> None:
    volume = read_volume(scan.source)
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=target.parent) as temporary:
        source, mask = Path(temporary, "scan.nii.gz"), Path(temporary, "mask.nii.gz")
        nibabel.save(nibabel.Nifti1Image(volume.hu, volume.affine), source)
        code, error_text = _run(arguments(program, source, mask, device=device, fast=fast), timeout_s)
        if code or not mask.is_file():
            raise StateError(f"{PROGRAM} wrote no mask of {scan.scan_id} (exit {code})", cure=error_text)
        with mask.open("rb") as file:
            os.fsync(file.fileno())
        mask.replace(target)


def _run(line: Sequence[str], timeout_s: float) -> tuple[int, str]:
    """Run a program; return its exit code and the end of its error output.

    It runs in a separate session, so that all its processes can be ended with it (TotalSegmentator starts processes
    that would otherwise keep the GPU).
    """
    with subprocess.Popen(
        line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True
    ) as process:
        try:
            _, stderr = process.communicate(timeout=timeout_s)
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, " ".join(stderr.split())[-LAST_WORDS:]
