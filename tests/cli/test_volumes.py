"""`uniferum report --html --with-volumes`: the masks of a trained cell on the page, and the choice of the cell."""

import re

import pytest
import torch
from typer.testing import CliRunner

from cli.main import app
from cli.volumes import mask_models
from tests.support.small_runs import make_config, make_stores
from tests.support.written_cells import write_cell
from uniferum.report.read_records import from_folders
from uniferum.report.site import page as site
from uniferum.run import train_run

runner = CliRunner()


@pytest.mark.slow
def test_the_page_shows_what_the_best_checkpoint_outlines(tmp_path, monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr(site, "figures", lambda records: {})
    stores = make_stores(tmp_path / "stores")
    config = make_config(name="uniferum-tiny-CTRATE+SEG", train_on=["CTRATE", "SEG"])
    train_run(config, stores, tmp_path / "runs" / "cells" / "one")
    words = ["report", "--from", str(tmp_path / "runs"), "--html", str(tmp_path / "site")]
    done = runner.invoke(app, [*words, "--with-volumes", str(tmp_path / "stores")], catch_exceptions=False)
    assert done.exit_code == 0
    text = (tmp_path / "site" / "index.html").read_text()
    assert 'class="banner"' in text
    assert '<section id="data">' in text
    assert "The model&#x27;s masks are those of uniferum-tiny-CTRATE+SEG" in text
    case = (tmp_path / "site" / "cases" / "case-000.js").read_text()
    assert re.search(r'"name": "Cardiac organ", "value": 51, "dice": "[0-9.]+"', case)
    assert '"model": null' not in case
    assert (tmp_path / "site" / "cases" / "niivue.js").stat().st_size > 1_000_000


def test_cells_that_were_trained_on_masks_are_asked_first(tmp_path):
    plain, seg = write_cell(tmp_path, "CTRATE"), write_cell(tmp_path, "CTRATE+SEG")
    write_cell(tmp_path, "INSPECT")
    cnn = write_cell(tmp_path, "CTRATE", model="cnn", encoder="")
    for folder in (plain, seg, cnn):
        (folder / "checkpoints" / "best").mkdir(parents=True)
    assert [folder for _, folder in mask_models(from_folders(tmp_path), None)] == [seg, plain]


def test_a_checkpoint_is_found_in_the_grid_for_a_record_from_elsewhere(tmp_path):
    write_cell(tmp_path / "server")
    kept = tmp_path / "cells" / "uniferum-pubmedbert-CTRATE-01234567"
    (kept / "checkpoints" / "best").mkdir(parents=True)
    assert [folder for _, folder in mask_models(from_folders(tmp_path / "server"), tmp_path / "cells")] == [kept]
