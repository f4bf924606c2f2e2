"""The data card finds leakage, and counts scans, labels and flags."""

import io

import matplotlib.image as mpimg
import numpy as np
import pandas as pd
import pytest

from uniferum.errors import UniferumError
from uniferum.report import datacard
from uniferum.report.figures import style


def manifest(**changes):
    table = pd.DataFrame(
        {
            "cohort": ["A", "A", "A", "B"],
            "scan_id": ["a1", "a2", "a3", "b1"],
            "patient_id": ["p1", "p2", "p3", "p1"],
            "study_id": ["s1", "s2", "s3", "s1"],
            "split": ["train", "train", "test", "test"],
            "checksum": ["c1", "c2", "c3", "c4"],
            "flags": [[], ["no lung"], [], []],
            "spacing_raw_mm": [[1.0, 1, 2], [0.5, 0.5, 1], [1.0, 1, 1], [0.7, 0.7, 1]],
        }
    )
    for name, values in changes.items():
        table[name] = values
    return table


class FakeStore:
    def __init__(self, name, splits=None):
        self.name, self.url, self.words = name, f"stores/{name}", splits or {}

    def splits(self):
        return self.words

    def manifest(self):
        table = manifest()
        return table.loc[table["cohort"] == self.name].drop(columns="cohort")

    def labels(self):
        rows = {"A": [("a1", "x", 1), ("a2", "x", 0), ("a3", "x", 1)], "B": [("b1", "y", 0)]}[self.name]
        return pd.DataFrame(rows, columns=["scan_id", "label", "value"])

    def read(self, scan_id, level):
        return np.full((4, 4, 4), -900, np.int16)

    def layers(self, scan_id):
        return ("totalsegmentator",)

    def read_mask(self, scan_id, layer, level):
        return np.pad(np.ones((2, 2, 2), np.uint8), 1)

    def affine(self, scan_id, level):
        return np.diag([4.0, 4.0, 4.0, 1.0])


STORES = {"A": FakeStore("A"), "B": FakeStore("B")}


def test_stores_are_of_phantoms_where_one_of_them_says_so():
    drawn = FakeStore("B", {"test": {"kind": "official", "found": 1, "phantoms": True}})
    assert not datacard.of_phantoms(STORES)
    assert datacard.of_phantoms({**STORES, "B": drawn})
    with pytest.raises(UniferumError, match=r"stores/B/splits\.json: test: kind"):
        datacard.of_phantoms({"B": FakeStore("B", {"test": {"kind": "borrowed", "found": 1}})})


def test_clean_splits_have_no_leak_and_ids_of_two_cohorts_are_two_persons():
    assert datacard.leaks(manifest()) == []
    assert "no volume occurs twice" in datacard.leak_sheet([]).below[0]


def test_a_patient_or_study_in_two_splits_is_named():
    leaks = datacard.leaks(manifest(patient_id=["p1", "p2", "p1", "p9"], study_id=["s1", "s2", "s1", "s9"]))
    assert [(one.kind, one.where, one.first) for one in leaks] == [
        ("patient in several splits", "A", ("p1",)),
        ("study in several splits", "A", ("s1",)),
    ]


def test_the_same_volume_twice_is_found_across_splits_and_cohorts():
    leaks = datacard.leaks(manifest(checksum=["c1", "c2", "c1", "c2"]))
    assert [(one.where, one.first) for one in leaks] == [
        ("A test and A train", ("a1 = a3",)),
        ("A train and B test", ("a2 = b1",)),
    ]


def test_scans_and_labels_are_counted_by_split():
    scans, labels, _, _ = datacard.sheets(STORES)
    assert scans.rows[0] == ["A", "train", "2", "2", "1", "0.50-1.00 x 0.50-1.00 x 1.00-2.00"]
    assert labels.rows == [["A", "x", "1 / 2", "-", "1 / 1"], ["B", "y", "-", "-", "0 / 1"]]


def test_flags_are_counted_by_cohort_and_split_with_their_meaning():
    flags = [["wrong_hu"], ["no_lung"], ["no_lung"], []]
    sheet = datacard.flag_sheet(manifest(flags=flags))
    assert sheet.headings[4:] == ["train", "validation", "test"]
    assert [[row[0], row[1], *row[3:]] for row in sheet.rows] == [
        ["A", "wrong_hu", "a1", "1 (50.0 %)", "-", "0"],
        ["A", "no_lung", "a2, a3", "1 (50.0 %)", "-", "1 (100.0 %)"],
    ]
    assert "HU" in sheet.rows[0][2]
    assert datacard.sheets(STORES)[2].title.startswith("Quality flags")


def test_a_cohort_without_flags_is_said_to_have_none():
    assert datacard.flag_sheet(manifest(flags=[[], [], [], []])).below == ["No scan is flagged."]


def test_histograms_are_drawn_for_every_cohort():
    with style.look():
        drawn = {name: style.as_bytes(figure, "svg").decode() for name, figure in datacard.figures(STORES).items()}
    assert set(drawn) == {"data-spacing", "data-hu"}
    assert "z spacing, mm" in drawn["data-spacing"]


def test_montages_show_so_many_scans_of_each_cohort_with_their_masks():
    drawn = datacard.montages(STORES, 2)
    assert set(drawn) == {"montage-A-a1", "montage-A-a2", "montage-B-b1"}
    picture = mpimg.imread(io.BytesIO(drawn["montage-A-a1"]))[..., :3]
    edges = (picture * 255).round().astype(int) == (255, 40, 40)
    assert edges.all(axis=-1).any()


def test_no_montage_is_drawn_unless_asked_for():
    assert datacard.montages(STORES, 0) == {}


def test_a_folder_without_a_store_is_named(tmp_path):
    with pytest.raises(UniferumError, match="prepared store"):
        datacard.read_stores(tmp_path)
