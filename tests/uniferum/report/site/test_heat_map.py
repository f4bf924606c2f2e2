"""The numbers of the heat map are the records' numbers, and its curves are scikit-learn's at the points of the grid."""

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from uniferum.report.read_records import from_folders
from uniferum.report.site.heat_map import GRID, UNIT, heat_numbers, label_curves


def test_values_are_those_of_the_records(cells, tmp_path):
    cells("CTRATE")
    (record,) = records = from_folders(tmp_path)
    content = heat_numbers(records)
    names = [(one["cohort"], one["group"], one["label"]) for one in content["columns"]]
    values = dict(zip(names, content["values"]["auroc"][0], strict=True))
    mean = next(one for one in record.groups if (one.cohort, one.metric) == ("CTRATE", "auroc"))
    assert values["CTRATE", "all", ""] == [round(x * UNIT) for x in (mean.value, mean.lo, mean.hi)]
    table = record.labels.set_index("label")
    assert values["CTRATE", "all", "lung_nodule"][0] == round(table.loc["lung_nodule", "auroc"] * UNIT)
    assert values["RADCHEST", "unique", "never_positive"] is None
    assert names.index(("CTRATE", "all", "")) == 0


def test_a_curve_is_the_sensitivity_at_each_false_positive_rate(cells, tmp_path):
    cells("CTRATE")
    (record,) = records = from_folders(tmp_path)
    curves = dict(label_curves(records))
    assert ("RADCHEST", "unique", "never_positive") not in curves
    table = record.predictions()
    rows = table.loc[(table["cohort"] == "CTRATE") & (table["label"] == "lung_nodule")]
    rate, sensitivity, _ = roc_curve(rows["target"], rows["score"], drop_intermediate=False)
    expected = [sensitivity[rate <= x + 1e-12].max() for x in GRID]
    assert np.asarray(curves["CTRATE", "all", "lung_nodule"]["roc"][0]) / 1000 == pytest.approx(expected, abs=6e-4)
