"""Which dataset a table belongs to, by its columns, so that a wrong file is named as what it is."""

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
"""What a table is -> columns that only it has, as the datasets publish them; the more special one first."""


def named_after(columns: Iterable[str]) -> str:
    """A clause that says what a table seems to be; empty where its columns are none of the datasets'."""
    found = set(columns)
    what = next((name for name, own in TABLES.items() if found.issuperset(own)), None)
    return f"; it looks like {what}" if what else ""
