"""Organ masks by TotalSegmentator, where it is installed, into the folder that the cohort reads them from (paper 3.5).

Each scan is handed over as a NIfTI file written by our own reader, so that the masks stand in the frame that
preparation believes, also where a dataset's own header lies or is missing (npz, CT-RATE v1). A mask appears whole or
not at all; scans that have one are skipped, so that a stopped run goes on. ``orchestration/segment.py`` spreads the
scans over GPUs and machines.
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
from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.load import read_volume

PROGRAM = "TotalSegmentator"
INSTALL = "pip install -e '.[segment]' in the project's folder gets TotalSegmentator 2"
UNFINISHED = ".segment-"
"""How the name of a folder begins in which a mask is being made."""

LAST_WORDS = 200
"""Characters of the program's own error that are shown."""


@dataclass(frozen=True)
class Segmented:
    """What became of one scan; ``fault`` is empty where its mask is there.

    Attributes:
        scan_id: as the dataset publishes it.
        fault: why there is no mask, one line.
        kept: the mask was there already, made by another run in the meantime.
    """

    scan_id: str
    fault: str = ""
    kept: bool = False


@dataclass(frozen=True)
class Shard:
    """Every ``count``-th part of a cohort, so that machines that know nothing of each other share the work.

    A scan's part follows from its id alone: it stays the same while masks appear and scans are added.
    """

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """``INDEX/COUNT``, the index from 0.

        Raises:
            UniferumError: it is no such text, or the index is not below the count.
        """
        index, slash, count = text.partition("/")
        if not (slash and index.isdecimal() and count.isdecimal() and int(index) < int(count)):
            raise UniferumError("--shard", text, must="be INDEX/COUNT with 0 <= INDEX < COUNT", cure="e.g. 0/8 to 7/8")
        return cls(int(index), int(count))

    def holds(self, scan_id: str) -> bool:
        """Whether a scan belongs to this part."""
        return int.from_bytes(hashlib.sha256(scan_id.encode()).digest()[:8], "big") % self.count == self.index


def installed_program() -> str:
    """The program's path.

    Raises:
        UniferumError: it is not installed; says how to install it.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise UniferumError(PROGRAM, must="be installed", cure=INSTALL)
    return program


def waiting(cohort: Cohort) -> Iterator[Scan]:
    """The scans that have no TotalSegmentator layer yet.

    Raises:
        UniferumError: the cohort's config does not say where masks go.
    """
    masks_folder(cohort)
    for scan in cohort.scans():
        if all(mask.layer != TOTALSEGMENTATOR for mask in scan.source.masks):
            yield scan


def masks_folder(cohort: Cohort) -> Path:
    """Where the cohort reads masks from, and they are written to.

    Raises:
        UniferumError: its config has no ``masks_root``.
    """
    config = cohort.config
    if config.masks_root is None:
        cure = "set masks_root=ts_total; CT-RATE ships its own masks"
        raise UniferumError(f"cohort {cohort.name}: masks_root", must="be given", cure=cure)
    return config.root / config.masks_root


def sweep(folder: Path, older_than_s: float) -> None:
    """Delete what a killed run left half made, each the size of a scan; younger ones may be another run's."""
    for entry in folder.glob(f"{UNFINISHED}*") if folder.is_dir() else ():
        if time.time() - entry.stat().st_mtime > older_than_s:
            shutil.rmtree(entry, ignore_errors=True)


def arguments(program: str, scan: Path, mask: Path, *, device: str, fast: bool) -> list[str]:
    """The command line, never read by a shell: one multi-label file of task ``total``."""
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
    """Segment one scan after the other; a scan that fails is reported and the next one is taken.

    Args:
        scans: see :func:`waiting`.
        folder: where ``<scan id>.nii.gz`` goes.
        program: see :func:`installed_program`.
        device: ``gpu``, ``gpu:1``, ``cpu`` or ``mps``.
        fast: the 3 mm model.
        timeout_s: for one scan.
    """
    for scan in scans:
        yield segment_one(scan, folder, program, device=device, fast=fast, timeout_s=timeout_s)


def segment_one(
    scan: Scan, folder: Path, program: str, *, device: str = "gpu", fast: bool = False, timeout_s: float = 3600.0
) -> Segmented:
    """Segment one scan, unless its mask has appeared; arguments as :func:`segment`; never raises for a bad scan."""
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
        code, said = _run(arguments(program, source, mask, device=device, fast=fast), timeout_s)
        if code or not mask.is_file():
            raise UniferumError(f"{PROGRAM} on {scan.scan_id}", f"exit {code}", must="write a mask", cure=said)
        with mask.open("rb") as file:
            os.fsync(file.fileno())
        mask.replace(target)


def _run(line: Sequence[str], timeout_s: float) -> tuple[int, str]:
    """Exit code and last words of a program.

    The program has a session of its own: whatever ends this call ends all that the program started with it
    (TotalSegmentator starts processes that would keep the GPU).
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
