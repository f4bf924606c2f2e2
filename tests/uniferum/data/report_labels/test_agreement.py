"""Agreement with a reader, as the paper's radiologist check: right of all, and kappa as scikit-learn has it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from uniferum.data.report_labels.agreement import agreement, kappa, read_values
from uniferum.errors import UniferumError


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=60))
def test_kappa_is_cohens(pairs: list[tuple[int, int]]) -> None:
    first, second = zip(*pairs, strict=True)
    if len({*first, *second}) == 1:
        assert kappa(pairs) is None
    else:
        assert kappa(pairs) == pytest.approx(cohen_kappa_score(first, second))


def test_the_papers_check_reads_115_of_120() -> None:
    by_hand = {(str(i), f"label{i % 12}"): i // 60 for i in range(120)}
    made = {key: 1 - value if int(key[0]) < 5 else value for key, value in by_hand.items()}
    *labels, everything = agreement(made, by_hand)
    assert len(labels) == 12
    assert (everything.label, everything.right, everything.n) == ("all", 115, 120)
    assert everything.accuracy == pytest.approx(115 / 120)


def test_what_one_side_left_unknown_is_counted_apart() -> None:
    by_hand = {("1", "a"): 1, ("2", "a"): 0}
    counts = agreement({("1", "a"): 1, ("9", "a"): 1}, by_hand)[0]
    assert (counts.n, counts.right, counts.unknown) == (1, 1, 1)


def test_blank_and_double_judgements(tmp_path: Path) -> None:
    path = tmp_path / "hand.csv"
    path.write_text("id,label,value\n1,a,\n2,a,1\n", encoding="utf-8")
    assert read_values(path, "id") == {("2", "a"): 1}
    path.write_text("id,label,value\n2,a,0\n2,a,1\n", encoding="utf-8")
    with pytest.raises(UniferumError, match="must be judged once"):
        read_values(path, "id")
    with pytest.raises(UniferumError, match="must have a value"):
        agreement({}, {})
