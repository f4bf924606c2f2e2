"""A data card counts known labels, and calls a split the paper's only where its rule and size are the paper's."""

from uniferum.data.card import Tally


def test_counts_prevalence_and_missing() -> None:
    tally = Tally(("a", "b"))
    tally.scan("train", "p1", {"a": 1, "b": 0}, ("nodule",))
    tally.scan("train", "p1", {"a": 0}, ())
    tally.scan("test", "p2", {}, ("nodule",))
    for i in range(5):
        tally.drop(str(i), "duplicate id")
    card = tally.card("X", expected={"train": 3, "test": 1}, papers_split={"train": True, "test": True}, notes=("n",))
    assert (card.scans, card.patients) == ({"train": 2, "test": 1}, {"train": 1, "test": 1})
    assert card.missing == {"train": 1}
    assert card.labels["a"]["train"].prevalence == 0.5
    assert card.labels["b"]["train"].prevalence == 0.0
    assert card.labels["a"]["test"].prevalence is None
    assert card.dropped == {"duplicate id": (5, ("0", "1", "2"))}
    assert card.masks == {"nodule": 2}
    assert card.papers_split == {"train": False, "test": True}


def test_rows_for_people() -> None:
    tally = Tally(("a",))
    tally.scan("test", "p", {"a": 1}, ())
    tally.drop("x", "volume file missing")
    card = tally.card("X", expected={"test": 2}, papers_split={"test": True}, notes=())
    assert card.split_rows() == [["test", 1, 2, 1, 1, "not the paper's split"]]
    assert card.label_rows() == [["a", "1 / 1 (100.0 %)"]]
    assert card.dropped_rows() == [["volume file missing", 1, "x"]]
    assert tally.card("X", expected={}, papers_split={}, notes=()).split_rows()[0][-1] == "-"


def test_a_card_tells_how_many_organ_tasks_the_papers_share_is_in_either_reading() -> None:
    tally = Tally(("pleural_effusion", "pulmonary_embolism"))
    for number in range(40):
        tally.scan("train", f"p{number}", {"pleural_effusion": 1, "pulmonary_embolism": number % 2}, ())
    counts = tally.card("INSPECT", expected={}, papers_split={}, notes=()).organ_counts()
    assert counts is not None
    assert (counts.rows, counts.of_rows, counts.scans, counts.of_scans) == (40, 4, 40, 4)
    assert tally.card("X", expected={}, papers_split={}, notes=()).organ_counts() is None


def test_a_patient_of_two_splits_is_noted() -> None:
    tally = Tally(())
    for split in ("train", "test"):
        tally.scan(split, "p", {}, ())
    assert "1 patients are in more than one split" in tally.card("X", expected={}, papers_split={}, notes=()).notes
