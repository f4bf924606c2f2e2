"""Recognise a dataset's table by its columns, to name a wrong file in error messages."""

from collections.abc import Iterable

TABLES = {
    "CT-RATE's labels": ("VolumeName", "Medical material"),
    "CT-RATE's reports": ("VolumeName", "Findings_EN"),
    "CT-RATE's metadata": ("VolumeName", "RescaleSlope"),
    "RAD-ChestCT's metadata": ("NoteAcc_DEID", "MRN_DEID"),
    "a table of RAD-ChestCT": ("NoteAcc_DEID",),
    "INSPECT's labels": ("impression_id", "pe_positive_nlp"),
    "INSPECT's impressions": ("impression_id", "impressions"),
    "INSPECT's splits": ("impression_id", "split"),
    "INSPECT's study mapping": ("impression_id", "image_id"),
    "LUNA16's candidates": ("seriesuid", "coordX", "class"),
    "LUNA16's annotations": ("seriesuid", "coordX", "diameter_mm"),
}
"""Kind of table, and columns that only it has, as published; more specific kinds come first."""


def named_after(columns: Iterable[str]) -> str:
    """Clause on what a table seems to be; empty if its columns are not known."""
    present = set(columns)
    what = next((name for name, required in TABLES.items() if present.issuperset(required)), None)
    return f"; it looks like {what}" if what else ""
