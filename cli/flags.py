"""Print quality flags: a table, the notes on flagged scans, and what training does with those scans."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cli import output

if TYPE_CHECKING:
    from uniferum.data.flag_counts import FlagCount

NOTES = 20
"""Number of notes that are printed; the manifest of the store holds all of them."""


def show_flags(title: str, counts: "Sequence[FlagCount]", printed: output.Summary) -> None:
    """Print a table of flags: meaning, number and share of scans, and the first three scans."""
    from uniferum.data.flag_counts import COLUMNS, NO_FLAGS

    if counts:
        printed.table(title, COLUMNS, [flag.row() for flag in counts])
    else:
        printed.line(f"{title}: {NO_FLAGS.lower()}")


def show_split_flags(title: str, by_split: "Mapping[str, Sequence[FlagCount]]", printed: output.Summary) -> None:
    """Print a table of flags with one column for each split: number and share of scans."""
    from uniferum.data.flag_counts import NO_FLAGS, split_columns, split_rows

    rows = split_rows(by_split)
    if rows:
        printed.table(title, split_columns(by_split), rows)
    else:
        printed.line(f"{title}: {NO_FLAGS.lower()}")


def show_notes(counts: "Sequence[FlagCount]", notes: Mapping[str, Sequence[str]], printed: output.Summary) -> None:
    """Print the notes on the scans that the table names, doubtful scans first."""
    named = dict.fromkeys(scan_id for flag in counts for scan_id in flag.examples)
    rows = [(scan_id, note) for scan_id in named for note in notes.get(scan_id, ())]
    if rows:
        printed.table("notes on these scans", ("scan", "note"), rows[:NOTES])
    if len(rows) > NOTES:
        output.say(f"and {len(rows) - NOTES} more notes in the store's manifest.parquet")


def show_policy(counts: "Sequence[FlagCount]") -> None:
    """Say what training and evaluation do with scans whose intensities or axes are doubtful."""
    from uniferum.preprocessing import flags

    number = {flag.flag: flag.count for flag in counts}
    if flags.WRONG_HU in number:
        output.say(
            f"{flags.WRONG_HU} ({number[flags.WRONG_HU]}): these scans are left out of training; selection and test "
            "keep and count them (data.on_wrong_hu: exclude, keep or stop)"
        )
    if flags.ORIENTATION_DOUBTFUL in number:
        output.say(
            f"{flags.ORIENTATION_DOUBTFUL} ({number[flags.ORIENTATION_DOUBTFUL]}): training keeps these scans; look at "
            "them first (--montage), and correct or exclude those that are wrong"
        )
