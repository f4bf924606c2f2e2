"""Reports in a store: matched with its scans, written, read, and made into rows."""

from pathlib import Path

import pytest

from uniferum.data.reports import FILE, matched_reports, read_reports, reports_digest, write_reports
from uniferum.errors import UniferumError


def test_reports_are_matched_with_the_scans_of_the_store() -> None:
    given = [
        ("b", "Second.\n  More."),
        ("a", "First."),
        ("c", " "),
        ("stranger", "Of another cohort."),
        ("a", "First."),
    ]
    assert matched_reports("store", given, ["a", "b", "c", "d"]) == {"a": "First.", "b": "Second. More."}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_reports(tmp_path, {"b": "Second.", "a": "Été, 5 µm."})
    assert list(read_reports(tmp_path).items()) == [("a", "Été, 5 µm."), ("b", "Second.")]


def test_the_digest_is_that_of_the_named_scans() -> None:
    texts = {"a": "First.", "b": "Second."}
    assert reports_digest(texts, ["a"]) == reports_digest({"a": "First."}, ["a", "z"])
    assert reports_digest(texts, ["a"]) != reports_digest(texts, ["a", "b"])


def test_two_different_reports_of_a_scan_are_refused() -> None:
    with pytest.raises(UniferumError, match="reports of a must be one text"):
        matched_reports("store", [("a", "one"), ("a", "two")], ["a"])


def test_reports_of_another_cohort_are_refused() -> None:
    with pytest.raises(UniferumError, match="must have a scan with a report"):
        matched_reports("store", [("b", "one"), ("a", " ")], ["a"])


def test_a_store_without_reports_and_a_damaged_table_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UniferumError, match=r"must have reports .*uniferum data reports"):
        read_reports(tmp_path)
    (tmp_path / FILE).write_bytes(b"not a table")
    with pytest.raises(UniferumError, match=r"must be a table of scan_id and report"):
        read_reports(tmp_path)
