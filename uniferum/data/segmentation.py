"""Organ masks by TotalSegmentator, where it is installed, into the folder that the cohort reads them from (paper 3.5).

Each scan is handed over as a NIfTI file written by our own reader, so that the masks stand in the frame that
preparation believes, also where a dataset's own header lies or is missing (npz, CT-RATE v1). A mask appears whole or
not at all; scans that have one are skipped, so that a stopped run goes on.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel

from uniferum.data.cohorts.base import Cohort, Scan
from uniferum.data.vocabulary import TOTALSEGMENTATOR
from uniferum.errors import UniferumError
from uniferum.preprocessing.formats import read_volume

PROGRAM = "TotalSegmentator"
INSTALL = "pip install -e '.[segment]' in the project's folder gets TotalSegmentator 2"
LAST_WORDS = 200
"""Characters of the program's own error that are shown."""


@dataclass(frozen=True)
class Segmented:
    """What became of one scan; ``fault`` is empty where its mask was written."""

    scan_id: str
    fault: str = ""


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
    folder.mkdir(parents=True, exist_ok=True)
    for scan in scans:
        try:
            _segment_one(scan, folder, program, device=device, fast=fast, timeout_s=timeout_s)
        except (UniferumError, OSError) as error:
            yield Segmented(scan.scan_id, str(error))
        except subprocess.TimeoutExpired:
            yield Segmented(scan.scan_id, f"took more than {timeout_s:.0f} s")
        else:
            yield Segmented(scan.scan_id)


def _segment_one(scan: Scan, folder: Path, program: str, *, device: str, fast: bool, timeout_s: float) -> None:
    if Path(scan.scan_id).name != scan.scan_id:
        raise UniferumError("scan id", scan.scan_id, must="be a file name")
    volume = read_volume(scan.source)
    with tempfile.TemporaryDirectory(prefix=".segment-", dir=folder) as temporary:
        source, mask = Path(temporary, "scan.nii.gz"), Path(temporary, "mask.nii.gz")
        nibabel.save(nibabel.Nifti1Image(volume.hu, volume.affine), source)
        line = arguments(program, source, mask, device=device, fast=fast)
        done = subprocess.run(line, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False)
        if done.returncode or not mask.is_file():
            said = " ".join(done.stderr.split())[-LAST_WORDS:]
            raise UniferumError(
                f"{PROGRAM} on {scan.scan_id}", f"exit {done.returncode}", must="write a mask", cure=said
            )
        with mask.open("rb") as file:
            os.fsync(file.fileno())
        mask.replace(folder / f"{scan.scan_id}.nii.gz")
