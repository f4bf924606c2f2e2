"""Tables of finished and half-finished grids, and of several seeds."""

import csv
import io
import json
import math
import re
from dataclasses import replace
from statistics import fmean

import pytest

from uniferum.errors import UniferumError
from uniferum.report.published import PATH, find, published
from uniferum.report.read_records import from_folders
from uniferum.report.records import PendingCell, Score
from uniferum.report.settings import with_settings
from uniferum.report.tables.catalogue import make_table
from uniferum.report.tables.entries import marked_best
from uniferum.report.tables.paper import seeds_interval
from uniferum.report.tables.rendering import Style, long_rows, render
from uniferum.report.tables.seed_spread import pooled, widened
from uniferum.report.unfinished import unfinished


@pytest.fixture
def table(cells, tmp_path):
    cells("CTRATE", strength=0.5)
    cells("CTRATE+SEG", strength=2.0)
    return make_table("auroc", from_folders(tmp_path), [])


def test_a_number_of_the_table_is_the_stored_group_mean(cells, tmp_path):
    cells("CTRATE")
    (record,) = from_folders(tmp_path)
    stored = next(g for g in record.groups if (g.cohort, g.group, g.metric) == ("INSPECT", "unique", "auroc"))
    entry = make_table("auroc", [record], []).entries[record.row, ("INSPECT", "unique")]
    assert (entry.value, entry.lo, entry.hi) == (stored.value, stored.lo, stored.hi)


def test_the_best_of_each_column_is_marked_in_every_format(table):
    best = table.entries[("uniferum", "pubmedbert", "CTRATE+SEG"), ("CTRATE", "all")]
    assert best.best
    shown = f"{best.value:.4f}"
    assert f"{shown}*" in render(table, "terminal")
    assert f"**{shown}**" in render(table, "md")
    assert rf"\textbf{{{shown}}}" in render(table, "latex")
    assert f"<b>{shown}</b>" in render(table, "html")


def test_every_format_prints_the_same_numbers(table):
    want = {f"{entry.value:.4f}" for entry in table.entries.values()}
    for kind in ("terminal", "md", "latex", "html"):
        assert want <= set(re.findall(r"\d\.\d{4}", render(table, kind)))
    rows = csv.DictReader(io.StringIO(render(table, "csv")))
    assert {f"{float(row['value']):.4f}" for row in rows} == want
    assert {f"{entry['value']:.4f}" for entry in json.loads(render(table, "json"))["entries"]} == want


def test_a_partial_mean_says_so_in_heading_and_protocol(table):
    text = render(table, "terminal", Style(protocol=True))
    assert "RADCHEST unique (1/2 labels)" in text
    assert "1 of 2 labels have both classes" in text


def test_a_mean_over_fewer_labels_than_its_neighbours_is_marked_and_never_the_best(table):
    row, column = ("uniferum", "pubmedbert", "CTRATE+SEG"), ("CTRATE", "all")
    entries = {key: replace(entry, best=False) for key, entry in table.entries.items()}
    entries[row, column] = replace(entries[row, column], value=0.999, n_labels=1, n_labels_total=7)
    others = [key for key in entries if key[1] == column and key[0] != row]
    for key in others:
        entries[key] = replace(entries[key], n_labels=7, n_labels_total=7)
    mixed = replace(table, entries=marked_best(entries, table.columns))
    assert not mixed.entries[row, column].best
    text = render(mixed, "terminal")
    assert "0.9990 on 1/7 labels" in text
    assert text.count("on 1/7 labels") == 1
    assert "CTRATE (" not in text.splitlines()[2]


def test_a_half_finished_grid_gives_numbers_reasons_and_commands(cells, tmp_path):
    cells("CTRATE")
    cells("INSPECT", done=False)
    pending = [
        *unfinished(tmp_path),
        PendingCell("cnn-RADCHEST", "cnn", "", "RADCHEST", 0, "failed: no memory", "do it"),
    ]
    text = render(make_table("auroc", from_folders(tmp_path), pending), "terminal")
    assert "unfinished at 50 %" in text
    assert "1 of 3 cells are done" in text
    assert "cnn-RADCHEST: failed: no memory; run: do it" in text


def test_a_test_cohort_without_a_store_is_a_column_without_data(cells, tmp_path):
    cells("CTRATE")
    (record,) = from_folders(tmp_path)
    groups = [group for group in record.result["groups"] if group["cohort"] == "CTRATE"]
    command = "uniferum data prepare configs/cohorts/inspect.yaml --out stores/inspect"
    record = replace(record, result={**record.result, "groups": groups}, untested={"INSPECT": command, "OURS": "make"})
    table = make_table("auroc", [record], [])
    assert table.columns == (("CTRATE", "all"), ("INSPECT", "shared"), ("INSPECT", "unique"), ("OURS", "all"))
    entry = table.entries[record.row, ("INSPECT", "unique")]
    assert (entry.known, entry.missing, entry.command) == (False, "data absent: INSPECT", command)
    text = render(table, "md")
    assert text.count("| data absent") == 3
    assert f"data absent: INSPECT has no store, so no cell was tested on it; make it with: {command}" in text


def test_seeds_of_one_row_are_averaged_with_their_spread(cells, tmp_path):
    for seed in (0, 1, 2):
        cells("CTRATE", seed=seed)
    records = from_folders(tmp_path)
    table = make_table("auroc", records, [])
    entry = table.entries[records[0].row, ("CTRATE", "all")]
    values = [g.value for r in records for g in r.groups if (g.cohort, g.metric) == ("CTRATE", "auroc")]
    assert entry.seeds == 3
    assert entry.value == pytest.approx(sum(values) / 3)
    assert entry.spread == pytest.approx(math.sqrt(sum((v - entry.value) ** 2 for v in values) / 2))
    assert any(line.startswith("Seeds: 0, 1, 2. Means over seeds") for line in table.protocol)


def score(value, lo, hi):
    facts = {"cell": "c", "cohort": "CTRATE", "group": "all", "label": "", "metric": "auroc", "prevalence": 0.5}
    counts = {"n_labels": 18, "n_labels_total": 18, "n_cases": 100, "n_patients": 100}
    return Score(**facts, **counts, value=value, lo=lo, hi=hi)


def test_the_interval_over_cases_of_a_mean_over_seeds_reaches_as_far_as_theirs_on_average():
    lo, hi = seeds_interval([score(0.79, 0.77, 0.80), score(0.80, 0.78, 0.81), score(0.81, 0.79, 0.82)])
    assert (lo, hi) == pytest.approx((0.78, 0.81))
    assert seeds_interval([score(0.8, 0.78, 0.83)]) == (0.78, 0.83)
    assert all(math.isnan(end) for end in seeds_interval([score(0.9, 0.88, 0.92), score(0.5, math.nan, math.nan)]))


def test_the_table_prints_that_interval(cells, tmp_path):
    for seed in (0, 1):
        cells("CTRATE", seed=seed)
    records = from_folders(tmp_path)
    table = make_table("auroc", records, [])
    entry = table.entries[records[0].row, ("CTRATE", "all")]
    own = [g for r in records for g in r.groups if (g.cohort, g.group, g.metric) == ("CTRATE", "all", "auroc")]
    cases = replace(entry, lo=fmean(one.lo for one in own), hi=fmean(one.hi for one in own))
    spread = pooled((one.spread, 2) for one in table.entries.values())
    wanted = widened(cases, spread)
    assert spread.freedom == len(table.columns) == 5
    assert (entry.lo, entry.hi) == pytest.approx((wanted.lo, wanted.hi))
    assert entry.hi - entry.lo > cases.hi - cases.lo


def test_aupr_is_printed_with_its_prevalence(cells, tmp_path):
    cells("CTRATE")
    (record,) = from_folders(tmp_path)
    table = make_table("aupr", [record], [])
    entry = table.entries[record.row, ("CTRATE", "all")]
    labels = record.labels[record.labels["cohort"] == "CTRATE"]
    assert entry.prevalence == pytest.approx(labels["prevalence"].mean())
    line = next(line for line in render(table, "terminal").splitlines() if line.startswith("Prevalence"))
    assert f"{entry.prevalence:.4f}" in line


def test_the_published_value_stands_beside_each_number_and_cited_rows_appear(cells, tmp_path):
    cells("CTRATE")
    table = make_table("auroc", from_folders(tmp_path), [], published_rows=True)
    text = render(table, "terminal", Style(published=True))
    assert "(0.8296)" in text
    assert "CT-NET" in text
    assert "(0.6291)" in text


def test_the_published_numbers_are_complete():
    assert len(published()) == 139 + 2, "the tables and section 5.4, and embolism from section 5.1"
    plain, seg = (("uniferum", "pubmedbert", mix) for mix in ("CTRATE", "CTRATE+SEG"))
    assert find("auroc", plain, "INSPECT", "1_month_mortality").half_width == 0.039
    assert find("auroc", plain, "INSPECT", "1_month_mortality").p is None
    assert [find("auroc", seg, "INSPECT", f"{n}_month_mortality").p for n in (1, 6, 12)] == [0.20, 0.03, 0.02]
    assert find("auroc", seg, "RADCHEST", "cabg").half_width == 0.052
    assert find("auroc", ("uniferum", "pubmedbert", "INSPECT"), "INSPECT", "pulmonary_embolism").value == 0.648
    assert find("auroc", ("cnn_transformer", "", "INSPECT"), "INSPECT", "pulmonary_embolism").value == 0.721
    assert find("aupr", ("uniferum", "pubmedbert", "CTRATE+SEG"), "RADCHEST", "unique").value == 0.1476


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("0.8296", "83 %", "line 2: value"),
        ("CTRATE,CTRATE,all", ",CTRATE,all", "line 2: train_on"),
        ("0.8296", "82.96", "less"),
    ],
)
def test_a_damaged_line_of_the_published_numbers_is_named(tmp_path, old, new, said):
    text = PATH.read_text(encoding="utf-8")
    (tmp_path / "numbers.csv").write_text(text.replace(old, new, 1))
    with pytest.raises(UniferumError, match=said):
        published(tmp_path / "numbers.csv")


def test_a_cohort_of_the_users_own_gets_its_columns_after_the_papers(cells, tmp_path):
    folder = cells("CTRATE")
    result = json.loads((folder / "result.json").read_text())
    result["groups"].append({**result["groups"][0], "cohort": "real", "group": "all"})
    (folder / "result.json").write_text(json.dumps(result))
    assert make_table("auroc", from_folders(tmp_path), []).columns[-1] == ("real", "all")


def test_cells_scored_on_different_cases_are_marked(cells, tmp_path):
    cells("CTRATE")
    folder = cells("INSPECT")
    result = json.loads((folder / "result.json").read_text())
    for group in result["groups"]:
        group["n_cases"] = 17
    (folder / "result.json").write_text(json.dumps(result))
    text = render(make_table("auroc", from_folders(tmp_path), []), "terminal")
    assert "DIFFERENT cases" in text


def test_a_group_without_any_scorable_label_is_not_a_number(cells, tmp_path):
    folder = cells("CTRATE")
    result = json.loads((folder / "result.json").read_text())
    result["groups"][0] |= {"value": None, "lo": None, "hi": None, "n_labels": 0}
    (folder / "result.json").write_text(json.dumps(result))
    assert "n/a" in render(make_table("auroc", from_folders(tmp_path), []), "terminal")


def test_an_unknown_table_or_format_names_the_near_one(table):
    with pytest.raises(UniferumError, match="auroc"):
        make_table("aurok", [], [])
    with pytest.raises(UniferumError, match="latex"):
        render(table, "latec")


def test_latex_escapes_what_latex_reads(table):
    text = render(table, "latex")
    assert r"\toprule" in text
    assert "95 \\%" in text


def test_different_cells_of_one_seed_in_one_row_are_named(cells, tmp_path):
    cells("CTRATE")
    folder = cells("CTRATE", fingerprint="b" * 16)
    result = json.loads((folder / "result.json").read_text()) | {"name": "trial-7", "text_encoder": "pubmedbert"}
    (folder / "result.json").write_text(json.dumps(result))
    text = render(make_table("auroc", from_folders(tmp_path), []), "terminal")
    assert "DIFFERENT cells of one seed" in text
    assert "trial-7" in text


@pytest.mark.parametrize("name", ["auroc", "aupr", "labels", "calibration", "appendix3"])
def test_values_of_an_axis_are_never_averaged(cells, tmp_path, name):
    for rate in ("1e-4", "3e-4"):
        for seed in (0, 1):
            cells("CTRATE", axes={"lr": rate}, seed=seed, noise=seed + 5 * (rate == "3e-4"))
    records = from_folders(tmp_path)
    lines = [line for line in long_rows(make_table(name, records, [])) if line["value"] is not None]
    assert {line["setting"] for line in lines} == {"lr=1e-4", "lr=3e-4"}
    for line in lines:
        assert line["seeds"] == 2
        assert {one.axes["lr"] for one in records if one.name in line["cells"]} == {line["setting"][3:]}


def test_a_published_row_stands_beside_the_cell_at_the_defaults_alone(cells, tmp_path):
    cells("CTRATE")
    cells("CTRATE", axes={"lr": "3e-4"})
    records, _ = with_settings(from_folders(tmp_path), [])
    for name in ("auroc", "appendix3"):
        lines = long_rows(make_table(name, records, [], published_rows=True))
        ours = {line["setting"]: line["published"] for line in lines if line["cells"] and line["cohort"] == "CTRATE"}
        assert ours["defaults"] is not None
        assert ours["lr=3e-4"] is None
        others = [line for line in lines if not line["cells"] and line["train_on"] != "CTRATE"]
        assert any(line["published"] is not None and line["setting"] == "" for line in others)
