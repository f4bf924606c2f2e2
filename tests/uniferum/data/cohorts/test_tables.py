"""Tables are streamed and joined in bounded memory; a damaged one is named in one line."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cohort_layouts import table
from uniferum.data.cohorts.splits import by_patient
from uniferum.data.cohorts.tables import Index, drawn_first, header, rows
from uniferum.data.cohorts.values import known
from uniferum.errors import UniferumError


def test_rows_give_the_needed_columns_trimmed(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\ufeffid, a ,b\n1, x ,\n\n2,y,z\n", encoding="utf-8")
    assert list(rows(path, ("id", "a"))) == [{"id": "1", "a": "x"}, {"id": "2", "a": "y"}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,caf\xe9\n1,2\n", "must be UTF-8 text; byte 0xe9"),
        (b"", "must hold a header line"),
        (b"id,name,id\n", r"column \(id\) must be named once"),
        (b"idd,name\n", "column id must exist; did you mean 'idd'"),
        (b"name,id\n1\n", r"line 2 \(1 fields\) must be a row of 2 fields like the header; a cell is missing"),
        (b'id\n"' + b"x" * (17 * 2**20) + b'"\n', "must be a readable table; field larger than"),
    ],
)
def test_damaged_tables_are_named_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(UniferumError, match=message) as caught:
        list(rows(path, ("id",)))
    assert "\n" not in str(caught.value)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(UniferumError, match=r"t\.csv must exist"):
        header(tmp_path / "t.csv")


def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    wide = [f"column{k}" for k in range(4)]

    def peak(count: int) -> int:
        path = table(tmp_path / f"{count}.csv", ("id", *wide), ([i, *["0"] * 4] for i in range(count)))  # type: ignore[arg-type]
        tracemalloc.start()
        with Index() as index:
            for row in rows(path, ("id", *wide)):
                index.add(row["id"], row)
            assert index.get(str(count - 1)) is not None
        _, top = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return top

    peak(10)  # what is built at a first call does not count
    assert peak(10_000) < 1.5 * peak(1_000)


def test_index_keeps_the_first_row_merges_and_knows_what_was_never_asked_for() -> None:
    with Index() as index:
        assert index.add("a", {"x": "1"})
        assert not index.add("a", {"x": "2"})
        index.merge("a", {"y": "3"})
        index.merge("b", {"y": "4"})
        assert index.get("a") == {"x": "1", "y": "3"}
        assert index.get("c") is None
        assert "b" in index
        assert list(index.unseen()) == ["b"]


@given(st.sets(st.text(min_size=1), min_size=3), st.integers(0, 5), st.randoms())
def test_a_draw_depends_on_the_seed_and_not_on_the_order(keys: set[str], seed: int, random: object) -> None:
    shuffled = sorted(keys)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert drawn_first(keys, 2, seed) == drawn_first(iter(shuffled), 2, seed)
    assert len(drawn_first(keys, 2, seed)) == 2


def _split_sizes(counts: dict[str, int], given_splits: dict[str, str]) -> Iterator[tuple[str, int]]:
    for split in ("train", "validation", "test"):
        yield split, sum(counts[p] for p, s in given_splits.items() if s == split)


@given(st.dictionaries(st.text(min_size=1, max_size=4), st.integers(1, 4), min_size=1), st.integers(0, 3))
def test_splits_by_patient_never_overflow_unless_everybody_is_used(counts: dict[str, int], seed: int) -> None:
    sizes = {"train": 20, "validation": 5, "test": 5}
    assigned = by_patient(counts, sizes, seed)
    assigned_sizes = dict(_split_sizes(counts, assigned))
    if sum(counts.values()) < 30:
        assert assigned.keys() == counts.keys()
    else:
        assert all(assigned_sizes[split] <= size for split, size in sizes.items())
        single = sum(1 for p in counts if counts[p] == 1)
        assert assigned_sizes["test"] == 5 or single == 0 or 5 - assigned_sizes["test"] < 4


@pytest.mark.parametrize(("cell", "value"), [("True", 1), ("0.0", 0), ("1", 1), (" FALSE ", 0)])
def test_values_are_read_as_datasets_write_them(cell: str, value: int) -> None:
    assert known(cell, "t: c") == value


@pytest.mark.parametrize("cell", ["", "Censored", "censor", "NaN", "NA", "n/a", "<NA>", "NULL"])
def test_censored_and_empty_are_unknown(cell: str) -> None:
    assert known(cell, "t: c") is None


@pytest.mark.parametrize("cell", ["-1", "0.5", "yes", "no", "2", "-0", "None", "1,0", "=1", "10", "positive", "U"])
def test_anything_else_is_refused(cell: str) -> None:
    with pytest.raises(UniferumError, match="t: c"):
        known(cell, "t: c")


def test_an_uncertain_label_and_a_decimal_comma_are_refused_with_their_cure() -> None:
    with pytest.raises(UniferumError, match="leave the cell of an uncertain label empty"):
        known("-1.0", "t: c")
    with pytest.raises(UniferumError, match="use a decimal point"):
        known("0,0", "t: c")
