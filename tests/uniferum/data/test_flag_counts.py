"""Flags are counted over all scans, doubtful ones first, with their share and the first three scans."""

import pandas as pd

from uniferum.data.flag_counts import by_split, count_flags, flags_of, notes_of, percent, split_columns, split_rows

FLAGS = {f"s{n}": ("no_lung",) for n in range(5)} | {"s7": ("wrong_hu", "no_lung"), "s8": (), "s9": ("bad_mask:x",)}


def manifest() -> pd.DataFrame:
    rows = {"scan_id": list(FLAGS), "flags": [list(flags) for flags in FLAGS.values()]}
    return pd.DataFrame({**rows, "split": ["train"] * 6 + ["test"] * 2})


def test_doubtful_flags_come_first_then_the_most_frequent() -> None:
    counts = count_flags(FLAGS)
    assert [(one.flag, one.count, one.total) for one in counts] == [
        ("wrong_hu", 1, 8),
        ("no_lung", 6, 8),
        ("bad_mask:x", 1, 8),
    ]


def test_a_row_has_meaning_share_and_three_examples() -> None:
    flag = count_flags(FLAGS)[1]
    assert flag.row()[0] == "no_lung"
    assert "no lung was found by mask or by threshold" in flag.row()[1]
    assert flag.row()[2:] == ("6", "75.0 %", "s0, s1, s2, ...")
    assert count_flags(FLAGS)[2].meaning.startswith("the mask could not be used")


def test_a_flag_that_a_scan_carries_twice_counts_once() -> None:
    assert count_flags({"a": ("no_lung", "no_lung")})[0].count == 1


def test_a_share_above_nothing_never_reads_as_nothing() -> None:
    assert [percent(share) for share in (0, 1e-5, 0.0005, 1)] == ["0.0 %", "< 0.1 %", "0.1 %", "100.0 %"]


def test_each_split_has_its_own_count_and_share() -> None:
    counts = by_split(manifest(), ("train", "validation", "test"))
    assert split_columns(counts) == ("flag", "meaning", "first ones", "train", "test")
    rows = {row[0]: row[2:] for row in split_rows(counts)}
    assert rows == {
        "wrong_hu": ["s7", "1 (16.7 %)", "0"],
        "no_lung": ["s0, s1, s2, ...", "6 (100.0 %)", "0"],
        "bad_mask:x": ["s9", "0", "1 (50.0 %)"],
    }


def test_notes_are_those_of_the_scans_that_are_named_also_where_some_rows_are_older_than_notes() -> None:
    counts = count_flags(flags_of(manifest()))
    assert notes_of(manifest(), counts) == {}
    older = manifest().drop(columns="flags")
    assert set(flags_of(older).values()) == {()}
    noted = manifest().assign(notes=[["one"], None, float("nan"), ["not named"], [], ["offset of 1024"], ["x"], []])
    assert notes_of(noted, counts) == {"s0": ("one",), "s7": ("offset of 1024",)}
