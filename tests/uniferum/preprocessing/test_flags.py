"""The table of flags in the docs is that of the code, and says what to do about each doubtful one."""

import re
from pathlib import Path

import pytest

from uniferum.preprocessing import flags

DOCS = Path(__file__).parents[3] / "docs"


def documented() -> set[str]:
    """The flags of the table in docs/store.md, without layers."""
    text = (DOCS / "store.md").read_text(encoding="utf-8")
    table = text.partition("| flag | meaning |")[2].partition("\n\n")[0]
    first_cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return {name.partition(":")[0] for cell in first_cells for name in re.findall(r"`([^`]+)`", cell)}


def test_the_docs_name_every_flag_and_no_other() -> None:
    assert documented() == set(flags.MEANING)


@pytest.mark.parametrize("flag", flags.DOUBTFUL)
def test_there_is_a_page_that_says_what_to_do_about_each_doubtful_flag(flag: str) -> None:
    assert f"## `{flag}`" in (DOCS / "how-to" / "flags.md").read_text(encoding="utf-8")


def test_every_flag_has_a_meaning_of_one_line() -> None:
    assert all(said and "\n" not in said for said in flags.MEANING.values())
    assert flags.meaning("bad_mask:nodule") == flags.MEANING["bad_mask"]


def test_doubtful_flags_are_found_among_others_in_their_order() -> None:
    assert flags.doubtful(("no_lung", "orientation_doubtful", "wrong_hu")) == ("orientation_doubtful", "wrong_hu")
    assert flags.doubtful(("no_lung", "empty_mask:x")) == ()
