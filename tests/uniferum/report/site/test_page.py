"""The page: complete, escaped, without network access, and without images of patients unless asked for."""

import hashlib
import re

import numpy as np
import pandas as pd
import pytest

from tests.support.ablation_cells import write_ablation
from uniferum.errors import UniferumError
from uniferum.report.checks.margins import Margins
from uniferum.report.records import PendingCell, from_folders
from uniferum.report.site import cases as browsing
from uniferum.report.site import page as site
from uniferum.report.site.cells import cell_details, device_hours, glance
from uniferum.report.tables.trials import Trial, Trials


@pytest.fixture
def quiet_figures(monkeypatch):
    """Figures have tests of their own; drawing all of them here would take most of the time."""
    monkeypatch.setattr(site, "figures", lambda records: {})


@pytest.fixture
def text(cells, tmp_path, quiet_figures):
    cells("CTRATE")
    pending = [PendingCell("cnn-INSPECT", "cnn", "", "INSPECT", 0, "failed: <script>alert(1)</script>", "fill & go")]
    return site.write_page(tmp_path / "site", from_folders(tmp_path), pending, Margins()).read_text()


def test_nothing_in_the_page_comes_from_a_network(text):
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", text)
    assert "default-src 'none'" in text


def test_what_cells_recorded_is_escaped(text):
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "fill &amp; go" in text


def test_every_part_is_there(text):
    for part in ("grid", "tables", "verdict", "figures", "cells"):
        assert f'<section id="{part}">' in text
    assert 'id="effects"' not in text
    assert "0123456789abcdef" in text
    assert "{{" not in text


def test_axes_and_a_search_have_sections_of_their_own(tmp_path, quiet_figures, monkeypatch):
    monkeypatch.setattr(site, "_tables", lambda records, pending: "")
    monkeypatch.setattr(site, "_verdicts", lambda records, pending, agreement: "")
    write_ablation(tmp_path, seeds=1, without=("3e-4 true 0",))
    search = Trials("s", [Trial(0, {"optim.lr": 1e-4}, 0.7, "complete"), Trial(1, {"optim.lr": 1e-3}, 0.8, "complete")])
    page = site.write_page(tmp_path / "site", from_folders(tmp_path), [], Margins(), search=search).read_text()
    effects = page[page.index('<section id="effects">') : page.index('<section id="search">')]
    for part in ("Effect of lr on AUROC", "no such cell", "Learning curves by freeze", "Effects of lr: difference to"):
        assert part in effects
    assert effects.count("<figure>") == 4
    assert "Search s" in page[page.index('<section id="search">') :]


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
    text = site.write_page(tmp_path / "site", from_folders(tmp_path), [], Margins(), data=data).read_text()
    section = text[text.index('<section id="data">') :]
    assert "patient in several splits" in section
    assert "lung_nodule" in section
    assert 'alt="data-hu"' in section
    assert "montage" not in section
    assert 'class="banner"' not in text
    assert "phantoms" not in section


def test_counts_of_phantoms_say_so_where_the_store_does(tmp_path, quiet_figures):
    text = site.write_page(tmp_path, [], [], Margins(), data={"CTRATE": Counted(phantoms=True)}).read_text()
    section = text[text.index('<section id="data">') :]
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
    text = cell_details(from_folders(tmp_path)[0])
    assert "train_on" in text
    assert "<polyline" in text
    assert "cell.log: not recorded" in text


def test_the_glance_lists_cells_done_and_not(cells, tmp_path):
    cells("CTRATE")
    text = glance(from_folders(tmp_path), [PendingCell("x", "cnn", "", "INSPECT", 0, "pending", "run x")])
    assert "uniferum-pubmedbert-CTRATE" in text
    assert "x: run x" in text


def test_the_viewer_is_the_release_that_the_notice_names():
    vendor = browsing.NIIVUE.parent
    digest = hashlib.sha256(browsing.NIIVUE.read_bytes()).hexdigest()
    assert digest in (vendor / "NOTICE.txt").read_text()
