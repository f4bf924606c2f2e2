"""The page: complete, escaped, without network access, and without images of patients unless asked for."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.ablation_cells import write_ablation
from uniferum.errors import UniferumError
from uniferum.report.checks.margins import Margins
from uniferum.report.read_records import from_folders
from uniferum.report.records import PendingCell
from uniferum.report.site import cases as browsing
from uniferum.report.site import page as site
from uniferum.report.site.cells import cell_details, config_differences, device_hours, glance, learning
from uniferum.report.tables.trials import Trial, Trials


@pytest.fixture
def quiet_figures(monkeypatch):
    """Figures have tests of their own; drawing all of them here would take most of the time."""
    monkeypatch.setattr(site, "figures", lambda records: {})


def part(page: Path, name: str):
    """The content of a part beside the page."""
    text = (page.parent / "parts" / f"{name}.js").read_text()
    return json.loads(text[text.index(",") + 1 : -len(");\n")])


def parts_text(page: Path) -> str:
    """All HTML of the parts."""
    names = [path.stem for path in (page.parent / "parts").glob("*.js") if path.stem != "uplot"]
    contents = [part(page, name) for name in names]
    return "\n".join(one if isinstance(one, str) else one.get("details", "") for one in contents)


@pytest.fixture
def text(cells, tmp_path, quiet_figures):
    cells("CTRATE")
    pending = [PendingCell("cnn-INSPECT", "cnn", "", "INSPECT", 0, "failed: <script>alert(1)</script>", "fill & go")]
    page = site.write_page(tmp_path / "site", from_folders(tmp_path), pending, Margins(), grid="<my grid>")
    return page.read_text() + parts_text(page)


def test_nothing_in_the_page_comes_from_a_network(text):
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", text)
    assert "default-src 'none'" in text


def test_what_cells_recorded_is_escaped(text):
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "fill &amp; go" in text


def test_every_part_is_there(text):
    for name in ("overview", "heat-map", "grid", "tables", "verdict", "figures"):
        assert f'<section id="{name}">' in text
    assert "&lt;my grid&gt;" in text
    assert 'id="effects"' not in text
    assert "0123456789abcdef" in text
    assert "{{" not in text


def test_axes_and_a_search_have_sections_of_their_own(tmp_path, quiet_figures, monkeypatch):
    monkeypatch.setattr(site, "_tables", lambda records, pending: "")
    monkeypatch.setattr(site, "_verdicts", lambda records, pending, agreement: "")
    write_ablation(tmp_path, seeds=1, without=("3e-4 true 0",))
    search = Trials("s", [Trial(0, {"optim.lr": 1e-4}, 0.7, "complete"), Trial(1, {"optim.lr": 1e-3}, 0.8, "complete")])
    page = site.write_page(tmp_path / "site", from_folders(tmp_path), [], Margins(), search=search)
    effects = part(page, "effects")
    for said in ("Effect of lr on AUROC", "no such cell", "Learning curves by freeze", "Effects of lr: difference to"):
        assert said in effects
    assert effects.count("<figure>") == 4
    assert "Search s" in part(page, "search")


def test_no_patient_is_in_the_page_unless_asked_for(text):
    assert 'class="banner"' not in text
    assert 'id="cases"' not in text
    assert "CTRATE/3" not in text


class Counted:
    """A store of two scans of one patient, in two splits."""

    name, url = "CTRATE", "stores/ctrate"

    def __init__(self, *, phantoms=False):
        self.phantoms = phantoms

    def splits(self):
        return {"test": {"kind": "official", "found": 1, "phantoms": self.phantoms}}

    def manifest(self):
        facts = {"patient_id": "p", "study_id": "s", "checksum": ["a", "b"], "split": ["train", "test"]}
        return pd.DataFrame({"scan_id": ["1", "2"], **facts, "flags": [[], []], "spacing_raw_mm": [[1.0, 1, 1]] * 2})

    def labels(self):
        return pd.DataFrame({"scan_id": ["1", "2"], "label": "lung_nodule", "value": [1, 0]})

    def read(self, scan_id, level):
        return np.zeros((4, 4, 4), np.int16)


def test_the_data_is_counted_and_its_leaks_are_named_without_a_picture(cells, tmp_path, quiet_figures):
    cells("CTRATE")
    data = {"CTRATE": Counted()}
    page = site.write_page(tmp_path / "site", from_folders(tmp_path), [], Margins(), data=data)
    text, section = page.read_text(), part(page, "data")
    assert "patient in several splits" in section
    assert "lung_nodule" in section
    assert 'alt="data-hu"' in section
    assert "montage" not in section
    assert 'class="banner"' not in text
    assert "phantoms" not in section


def test_counts_of_phantoms_say_so_where_the_store_does(tmp_path, quiet_figures):
    section = part(site.write_page(tmp_path, [], [], Margins(), data={"CTRATE": Counted(phantoms=True)}), "data")
    assert section.count("<caption>") == section.count("(phantoms)</caption>") > 0
    assert 'alt="data-hu (phantoms)"' in section


def test_cases_need_the_prepared_store_of_each_cohort(cells, tmp_path, quiet_figures):
    cells("CTRATE")
    (tmp_path / "stores").mkdir()
    records = from_folders(tmp_path)
    pictures = browsing.Pictures(browsing.hardest(records), browsing.open_stores(tmp_path / "stores"))
    with pytest.raises(UniferumError, match="prepared store of every evaluated cohort"):
        site.write_page(tmp_path / "site", records, [], Margins(), pictures=pictures)


def test_device_hours_count_every_device(cells, tmp_path):
    cells("CTRATE")
    (record,) = from_folders(tmp_path)
    record.result["devices"] = {"workers": 4}
    assert device_hours(record) == pytest.approx(4 * 12.5 / 3600)


def test_a_cell_shows_its_config_and_its_curve(cells, tmp_path):
    cells("CTRATE")
    (record,) = from_folders(tmp_path)
    assert "train_on" in cell_details(record)
    assert "cell.log: not recorded" in cell_details(record)
    assert learning(record)["validation/auroc"] == [[10.0, 20.0], [0.6, 0.7]]


def test_the_other_seed_is_the_neighbour_where_there_is_no_other_configuration(cells, tmp_path):
    cells("CTRATE")
    cells("CTRATE", seed=1)
    records = from_folders(tmp_path)
    names = [record.name for record in records]
    first, second = (names.index(f"uniferum-pubmedbert-CTRATE{end}") for end in ("", "-seed1"))
    assert config_differences(records)[second] == {"to": first, "keys": [["seed", "0", "1"]]}


def test_a_neighbour_is_another_configuration_with_the_most_shared_training_data(cells, tmp_path):
    for mix in ("CTRATE", "CTRATE+RADCHEST", "CTRATE+RADCHEST+SEG"):
        for seed in (0, 1):
            cells(mix, seed=seed)
    records = from_folders(tmp_path)
    at = {(record.mix, record.seed): number for number, record in enumerate(records)}
    neighbour = config_differences(records)[at["CTRATE+RADCHEST+SEG", 1]]
    assert neighbour["to"] == at["CTRATE+RADCHEST", 1]
    assert neighbour["keys"] == [["train_on", "CTRATE, RADCHEST", "CTRATE, RADCHEST, SEG"]]


def test_the_glance_leaves_out_columns_without_content(cells, tmp_path):
    cells("CTRATE")
    assert "<th>Best step</th>" in glance(from_folders(tmp_path), [])
    assert "<th>Dice</th>" not in glance(from_folders(tmp_path), [])


def test_the_glance_lists_cells_done_and_not(cells, tmp_path):
    cells("CTRATE")
    text = glance(from_folders(tmp_path), [PendingCell("x", "cnn", "", "INSPECT", 0, "pending", "run x")])
    assert "uniferum-pubmedbert-CTRATE" in text
    assert "x: run x" in text


@pytest.mark.parametrize("name", ["niivue.js", "uplot.js", "uplot.css"])
def test_vendored_files_are_the_releases_that_the_notice_names(name):
    vendor = browsing.NIIVUE.parent
    digest = hashlib.sha256((vendor / name).read_bytes()).hexdigest()
    assert digest in (vendor / "NOTICE.txt").read_text()
