"""Find the scans in the paths given to ``predict``: files, folders of DICOM slices, or folders of volume files.

Invariant: a folder is several scans only if it contains nothing but volume files and files beside them; any other
folder is one scan, and its reader reports errors.
"""

import os
from collections.abc import Iterable
from pathlib import Path

VOLUMES = (".nii", ".nii.gz", ".mhd", ".mha", ".npz")
# Data files of MetaImage headers, tables and texts beside volumes.
BESIDE = (".raw", ".zraw", ".csv", ".tsv", ".json", ".yaml", ".yml", ".txt", ".md", ".png", ".pdf")


def scans_of(paths: Iterable[Path]) -> list[Path]:
    """Return the scans of some paths, each once, in the given order; those of a folder in order of name."""
    scans: dict[Path, None] = {}
    for path in paths:
        scans.update(dict.fromkeys(_volumes_in(path) or [path]))
    return list(scans)


def _volumes_in(folder: Path) -> list[Path]:
    """The volume files of a folder of volumes; empty for any other folder, or for a file."""
    if not folder.is_dir() or not os.access(folder, os.R_OK | os.X_OK):
        return []
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    if any(path.is_dir() or not path.name.lower().endswith(VOLUMES + BESIDE) for path in entries):
        return []
    return [path for path in entries if path.name.lower().endswith(VOLUMES)]
