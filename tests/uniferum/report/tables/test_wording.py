"""The table of wordings, from records."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from uniferum.report.checks.against import against_sheet
from uniferum.report.checks.lineage import trace
from uniferum.report.checks.margins import Margins
from uniferum.report.read_records import from_folders
from uniferum.report.records import CellRecord
from uniferum.report.tables.catalogue import make_table
from uniferum.report.tables.rendering import render

TEMPLATES = ["Is there {name}?", "{prompt}, please"]
LABELS = ("emphysema", "atelectasis")


def areas(seed: int) -> np.ndarray:
    """AUROC by label and wording."""
    return np.random.default_rng(seed).uniform(0.6, 0.9, (len(LABELS), 1 + len(TEMPLATES)))


@pytest.fixture
def records(cells: Callable[..., Path], tmp_path: Path) -> list[CellRecord]:
    """Two seeds of a cell with wordings, and a cell without."""
    for seed in (0, 1):
        path = cells("CTRATE", seed=seed) / "result.json"
        result = json.loads(path.read_text())
        lines = [
            {"cohort": "CTRATE", "group": "all", "label": label, "n": 40, "n_pos": 10, "auroc": values.tolist()}
            for label, values in zip(LABELS, areas(seed), strict=True)
        ]
        lines.append({**lines[0], "label": "goitre", "auroc": [None, None, None]})
        path.write_text(json.dumps({**result, "wordings": {"templates": TEMPLATES, "labels": lines}}))
    cells("CTRATE+SEG")
    return from_folders(tmp_path)


def test_the_spread_of_a_label_is_that_of_its_areas_averaged_over_seeds(records: list[CellRecord]) -> None:
    made = make_table("wording", records, [])
    assert [row[-1] for row in made.rows] == ["emphysema", "atelectasis", "goitre", "(mean)"]
    assert [column for (column,) in made.columns] == ["own prompt", "wording 1", "wording 2", "range", "deviation"]
    tables = {seed: pd.DataFrame(areas(seed)) for seed in (0, 1)}
    tables = {seed: pd.concat([one, one.mean().to_frame().T]) for seed, one in tables.items()}
    for at, row in ((0, 0), (1, 1), (2, 3)):
        by_seed = [one.iloc[at] for one in tables.values()]
        spread = [np.mean([one.max() - one.min() for one in by_seed]), np.mean([one.std() for one in by_seed])]
        wanted = [*np.mean(by_seed, axis=0), *spread]
        assert [made.entries[made.rows[row], column].value for column in made.columns] == pytest.approx(wanted)
        assert {made.entries[made.rows[row], column].seeds for column in made.columns} == {2}
    assert not any(made.entries[made.rows[2], column].known for column in made.columns)


def test_the_templates_stand_below_and_cells_without_are_counted(records: list[CellRecord]) -> None:
    text = render(make_table("wording", records, []), "terminal")
    assert "wording 1: Is there {name}?" in text
    assert "1 of 3 cells were scored without evaluation.prompts." in text
    assert make_table("wording", records, [], where={"cohort": "INSPECT"}).rows == ()
    without = [record for record in records if "wordings" not in record.result]
    assert len(without) == 1
    assert make_table("wording", without, []).rows == ()


def test_no_published_value_stands_beside_a_wording_and_its_source_is_named(records: list[CellRecord]) -> None:
    made = make_table("wording", records, [])
    assert against_sheet(made, records, Margins(), "all").rows == []
    assert "result.json" in trace(made, "CTRATE emphysema", "range", records)
