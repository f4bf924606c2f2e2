"""What a person means by the paths given to ``predict``: files, folders of DICOM slices, or folders of volume files.

Invariant: a folder is taken apart only where it holds nothing but volume files and what goes with them; any other
folder is one scan, and its reader says what is wrong with it.
"""

import os
from collections.abc import Iterable
from pathlib import Path

VOLUMES = (".nii", ".nii.gz", ".mhd", ".mha", ".npz")
# Data of a MetaImage header, tables and texts that lie beside volumes.
BESIDE = (".raw", ".zraw", ".csv", ".tsv", ".json", ".yaml", ".yml", ".txt", ".md", ".png", ".pdf")


def scans_of(paths: Iterable[Path]) -> list[Path]:
    """The scans of some paths, each once, in the order given; a folder of volume files gives them by name."""
    found: dict[Path, None] = {}
    for path in paths:
        found.update(dict.fromkeys(_volumes_in(path) or [path]))
    return list(found)


def _volumes_in(folder: Path) -> list[Path]:
    """The volume files of a folder that holds nothing else; none of any other folder, or of a file."""
    if not folder.is_dir() or not os.access(folder, os.R_OK | os.X_OK):
        return []
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    if any(path.is_dir() or not path.name.lower().endswith(VOLUMES + BESIDE) for path in entries):
        return []
    return [path for path in entries if path.name.lower().endswith(VOLUMES)]
