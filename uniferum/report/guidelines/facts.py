"""Facts of scans by which test cases are divided: sex, age, scanner, kernel, contrast.

A prepared store keeps none of them except the spacing of slices. They are read from the tables that come with the
datasets, whose columns are recognised by their names.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from uniferum.errors import UniferumError, near_miss

SCAN_COLUMNS = ("scan_id", "volume_id", "volumename", "noteacc_deid", "volumeacc_deid", "image_id", "seriesuid")
PATIENT_COLUMNS = ("patient_id", "patientid", "person_id", "mrn_deid")
FACTS: Mapping[str, tuple[str, ...]] = {
    "sex": ("sex", "patientsex", "gender"),
    "age": ("age", "patientage"),
    "scanner": ("scanner", "manufacturer", "manufacturermodelname"),
    "kernel": ("kernel", "convolutionkernel"),
    "contrast": ("contrast", "contrastbolusagent"),
}
"""Each fact with the columns that hold it, in lower case; the first that a table has is used."""
SLICES = "slice spacing"
UNKNOWN = "unknown"
AGES, SPACINGS = (0, 40, 60, 80), (0.0, 1.0, 2.0, 3.0)
EMPTY = {"", "nan", "none", "n/a", "unknown"}


def read_facts(path: Path) -> dict[str, dict[str, str]]:
    """Read a table of scans or patients (CSV, or TSV by its ending).

    Returns:
        Each fact that the table has: id of a scan or patient to value.

    Raises:
        UniferumError: the table is unreadable, or has no column of ids or none of a fact.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, sep="\t" if path.suffix == ".tsv" else ",")
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UniferumError("--metadata", str(path), must="be a readable CSV table", cure=reason) from None
    by_name = {str(name).lower(): str(name) for name in table.columns}
    ids = next((by_name[name] for name in (*SCAN_COLUMNS, *PATIENT_COLUMNS) if name in by_name), None)
    known_facts = {fact: next((by_name[n] for n in names if n in by_name), None) for fact, names in FACTS.items()}
    columns = {fact: column for fact, column in known_facts.items() if column}
    if ids is None or not columns:
        wanted = "scan_id, VolumeName or patient_id" if ids is None else ", ".join(FACTS)
        raise UniferumError("--metadata", str(path), must=f"have a column such as {wanted}")
    keys = [re.sub(r"\.nii(\.gz)?$", "", key) for key in table[ids].tolist()]
    return {
        fact: {key: _class(fact, value) for key, value in zip(keys, table[column].tolist(), strict=True)}
        for fact, column in columns.items()
    }


def slice_facts(manifest: pd.DataFrame) -> dict[str, dict[str, str]]:
    """The one fact that the manifest of a store has: the spacing of slices."""
    if "spacing_raw_mm" not in manifest.columns:
        return {}
    spacings = zip(manifest["scan_id"].astype(str).tolist(), manifest["spacing_raw_mm"].tolist(), strict=True)
    return {SLICES: {scan: _band(float(spacing[2]), SPACINGS, " mm") for scan, spacing in spacings}}


def classes(table: pd.DataFrame, values: Mapping[str, str]) -> pd.Series:
    """The class of each case of a prediction table, by its scan or else by its patient."""
    scans = table["scan_id"] if "scan_id" in table.columns else table["volume_id"]
    ids = zip(scans.astype(str).tolist(), table["patient_id"].astype(str).tolist(), strict=True)
    return pd.Series([values.get(scan, values.get(patient, UNKNOWN)) for scan, patient in ids], index=table.index)


def chosen_facts(wanted: Sequence[str], known_facts: Sequence[str]) -> list[str]:
    """The facts to divide by: those asked for, else all that were found.

    Raises:
        UniferumError: a fact is not known.
    """
    known = (*FACTS, SLICES)
    for name in wanted:
        if name not in known:
            raise UniferumError("--by", name, must="be a known fact", cure=near_miss(name, known))
    return list(wanted) or [name for name in known if name in known_facts]


def _class(fact: str, value: str) -> str:
    text = value.strip()
    if text.lower() in EMPTY:
        return UNKNOWN
    if fact != "age":
        return text
    number = re.match(r"0*(\d+(?:\.\d+)?)\s*([YMWD]?)", text.upper())
    if number is None:
        return UNKNOWN
    return _band(float(number[1]) if number[2] in ("", "Y") else 0.0, AGES, " years")


def _band(value: float, starts: Sequence[float], unit: str) -> str:
    at = max(index for index, start in enumerate(starts) if value >= start)
    if at + 1 == len(starts):
        return f"{starts[at]:g}{unit} and more"
    return f"{starts[at]:g} to under {starts[at + 1]:g}{unit}"
