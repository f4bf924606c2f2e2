"""The report's speed: all tables of 200 cells from Parquet, and every paired test of 16 cells.

    python benchmarks/report.py [--cells 200] [--cases 3000] [--labels 58] [--folder DIR] [--json FILE]

Cells are random predictions in the files that a run writes. Floors: point values and intervals by patient of AUROC of
all tables of 200 cells x 58 labels x 3,000 cases under 10 s and 2 GiB; all pairwise tests of 16 cells x 58 labels under
20 s; at least 20 times a loop over the textbook O(n^2) covariance (timed on a few labels and pairs, and multiplied).
Intervals of average precision (``--recompute`` of tables that show them) draw halves of the patients for each label of
each cell, which takes minutes for 200 cells: they are timed on a few cells, and multiplied.
"""

import argparse
import json
import resource
import tempfile
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from uniferum.evaluation.comparison import align, pairwise
from uniferum.report.read_records import from_folders
from uniferum.report.recompute import recomputed
from uniferum.report.tables.catalogue import TABLES, make_table
from uniferum.report.tables.rendering import render

NODULE = "lung_nodule"
"""A label of one of the tables."""
FEW = 4
"""Cells that are computed in full."""
GROUPS = {("CTRATE", "all"): 18, ("INSPECT", "unique"): 8, ("RADCHEST", "unique"): 32}


def write_cells(root: Path, cells: int, cases: int, labels: int) -> None:
    """Predictions of every cell: one row a volume and label, volume after volume, as evaluation writes them."""
    names = [(c, g, f"label_{at}" if at else NODULE) for (c, g), count in GROUPS.items() for at in range(count)][
        :labels
    ]
    places = np.tile(np.arange(len(names)), cases)
    generator = np.random.default_rng(0)
    target = (generator.random(cases * len(names)) < 0.2).astype(float)
    column = {name: _words([key[at] for key in names], places) for at, name in enumerate(("cohort", "group", "label"))}
    volume = _words([f"v{i}" for i in range(cases)], np.repeat(np.arange(cases), len(names)))
    patient = _words([f"p{i // 2}" for i in range(cases)], np.repeat(np.arange(cases), len(names)))
    for at in range(cells):
        mix = ("CTRATE", "CTRATE+SEG", "INSPECT", "RADCHEST")[at % 4]
        folder = root / "cells" / f"uniferum-small-{mix}-seed{at}"
        folder.mkdir(parents=True)
        score = generator.normal(size=len(target)) + generator.uniform(0.2, 1.5) * target
        table = {**column, "volume_id": volume, "patient_id": patient, "target": target, "score": score}
        pq.write_table(pa.table(table), folder / "predictions.parquet")
        result = {"format": 1, "name": folder.name, "train_on": mix.split("+"), "seed": at}
        facts = {"model": "uniferum", "text_encoder": "tiny", "groups": []}
        (folder / "result.json").write_text(json.dumps(result | facts))


def _words(words: list[str], places: np.ndarray) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(places.astype(np.int32), words)


def textbook(target: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """DeLong's covariance of two models by every pair of a positive and a negative."""
    parts = []
    for score in (first, second):
        positive, negative = score[target == 1], score[target == 0]
        win = (positive[:, None] > negative[None, :]) + 0.5 * (positive[:, None] == negative[None, :])
        parts.append((win.mean(axis=1), win.mean(axis=0)))
    m, n = len(parts[0][0]), len(parts[0][1])
    return np.cov([part[0] for part in parts]) / m + np.cov([part[1] for part in parts]) / n


def main() -> None:
    """Write cells, time both halves, print one line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("cells", 200), ("cases", 3000), ("labels", 58), ("compared", 16)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = asked.folder or Path(temporary)
        if not (root / "cells").exists():
            write_cells(root, asked.cells, asked.cases, asked.labels)
        said = measure(root, asked.compared)
    print(json.dumps(said, indent=1))
    if asked.json:
        asked.json.write_text(json.dumps(said))


def measure(root: Path, compared: int) -> dict[str, float]:
    """Seconds of all tables and of all tests, and how many times the textbook's loop they are."""
    before, cpu = time.perf_counter(), time.process_time()
    records = recomputed(from_folders(root), full=False)
    names = [name for name, one in TABLES.items() if one.metric in ("auroc", "aupr")]
    text = "".join(render(make_table(name, records, []), "csv") for name in names)
    tables_s, tables_cpu_s = time.perf_counter() - before, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    before = time.perf_counter()
    recomputed(records[:FEW])
    full_s = (time.perf_counter() - before) / min(FEW, len(records)) * len(records)
    chosen = records[:compared]
    columns = ["cohort", "group", "label", "volume_id", "patient_id", "target", "score"]
    before = time.perf_counter()
    cases = align({record.name: record.predictions(columns) for record in chosen})
    tests = pairwise(cases, [record.name for record in chosen])
    tests_s = time.perf_counter() - before
    one = next(iter(cases.values()))
    before = time.perf_counter()
    pairs = list(combinations(range(len(chosen)), 2))
    for a, b in pairs[:5]:
        textbook(one.target, one.scores[a], one.scores[b])
    naive_s = (time.perf_counter() - before) / 5 * len(pairs) * len(cases)
    return {
        "cells": len(records),
        "tables_s": round(tables_s, 2),
        "tables_cpu_s": round(tables_cpu_s, 2),
        "with_intervals_of_aupr_s": round(full_s, 1),
        "tables_peak_gib": round(peak, 2),
        "table_characters": len(text),
        "tests": len(tests),
        "tests_s": round(tests_s, 2),
        "textbook_s": round(naive_s, 1),
        "times_faster": round(naive_s / tests_s, 1),
    }


if __name__ == "__main__":
    main()
