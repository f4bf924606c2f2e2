"""Quality flags at the terminal: the table of them, the notes behind them, and what training does with them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cli import output

if TYPE_CHECKING:
    from uniferum.data.flag_counts import FlagCount

NOTES = 20
"""Notes that are printed; the store's manifest holds those of every scan."""


def show_flags(title: str, counts: "Sequence[FlagCount]") -> None:
    """A table of flags: what each means, how many scans carry it, their share, and the first three."""
    from uniferum.data.flag_counts import COLUMNS, NO_FLAGS

    if counts:
        output.table(title, COLUMNS, [flag.row() for flag in counts])
    else:
        output.say(f"{title}: {NO_FLAGS.lower()}")


def show_split_flags(title: str, by_split: "Mapping[str, Sequence[FlagCount]]") -> None:
    """A table of flags with a column a split: how many of its scans carry the flag, and their share."""
    from uniferum.data.flag_counts import NO_FLAGS, split_columns, split_rows

    rows = split_rows(by_split)
    if rows:
        output.table(title, split_columns(by_split), rows)
    else:
        output.say(f"{title}: {NO_FLAGS.lower()}")


def show_notes(counts: "Sequence[FlagCount]", notes: Mapping[str, Sequence[str]]) -> None:
    """The sentences behind the flags of the scans that the table names, the doubtful ones' first."""
    named = dict.fromkeys(scan_id for flag in counts for scan_id in flag.examples)
    rows = [(scan_id, note) for scan_id in named for note in notes.get(scan_id, ())]
    if rows:
        output.table("notes on these scans", ("scan", "note"), rows[:NOTES])
    if len(rows) > NOTES:
        output.say(f"and {len(rows) - NOTES} more notes in the store's manifest.parquet")


def show_policy(counts: "Sequence[FlagCount]") -> None:
    """What is done with scans whose numbers are doubtful."""
    from uniferum.preprocessing import flags

    found = {flag.flag: flag.count for flag in counts}
    if flags.WRONG_HU in found:
        output.say(
            f"{flags.WRONG_HU} ({found[flags.WRONG_HU]}): training leaves these scans out, selection and test keep "
            "them and count them (data.on_wrong_hu: exclude, keep or stop)"
        )
    if flags.ORIENTATION_DOUBTFUL in found:
        output.say(
            f"{flags.ORIENTATION_DOUBTFUL} ({found[flags.ORIENTATION_DOUBTFUL]}): training keeps these scans; look at "
            "them first (--montage), and mend or leave out those that are wrong"
        )
