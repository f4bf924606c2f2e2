"""The page of a large grid: its size, the seconds to load it and to filter it, beside a plain page of the same numbers.

    python benchmarks/report_page.py [--cells 200] [--cases 3000] [--labels 77] [--folder DIR] [--json FILE]

Cells are random predictions in the files that a run writes, scored without a bootstrap; nothing is trained. They repeat
eight distinct sets of predictions, because scoring a set takes five seconds. The plain
page is one HTML table of the same values, with a filter of five lines. Both are opened in a headless Chromium in the
same run. Figures and static tables have files of their own and are left out of neither size.
"""

import argparse
import json
import re
import resource
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from uniferum.evaluation.metrics import Scores, score_predictions
from uniferum.report.checks.margins import Margins
from uniferum.report.read_records import from_folders
from uniferum.report.records import CellRecord
from uniferum.report.site.cases import hardest
from uniferum.report.site.page import write_page
from uniferum.run.result import plain

GROUPS = {("CTRATE", "all"): 18, ("INSPECT", "shared"): 12, ("INSPECT", "unique"): 8, ("RADCHEST", "shared"): 7}
GROUPS |= {("RADCHEST", "unique"): 32}
DISTINCT = 8
"""Number of distinct sets of predictions."""
MIXES = ("CTRATE", "CTRATE+SEG", "CTRATE+INSPECT", "INSPECT", "RADCHEST")
PROBE = """
<script>
window.addEventListener("load", () => requestAnimationFrame(() => setTimeout(() => {
  const loaded = performance.now(), filter = document.getElementById("filter");
  filter.value = "inspect"; filter.dispatchEvent(new Event("input")); document.body.offsetHeight;
  document.body.dataset.said = JSON.stringify({ loaded, filtered: performance.now() - loaded });
}, 0)));
</script>
"""
PLAIN_FILTER = """
<script>
document.getElementById("filter").addEventListener("input", (event) => {
  for (const row of document.querySelectorAll("tbody tr"))
    row.hidden = !row.textContent.toLowerCase().includes(event.target.value);
});
</script>
"""


def write_records(root: Path, cells: int, cases: int, labels: int) -> None:
    """Write cells as a run does: predictions, scores, config, steps and a log."""
    places = [place for place, count in GROUPS.items() for _ in range(count)][:labels]
    keys = [(cohort, group, f"label_{at}") for at, (cohort, group) in enumerate(places)]
    label, case = np.tile(np.arange(len(keys)), cases), np.repeat(np.arange(cases), len(keys))
    generator = np.random.default_rng(0)
    target = (generator.random(len(label)) < 0.2).astype(float)
    facts = {name: np.array([key[at] for key in keys])[label] for at, name in enumerate(("cohort", "group", "label"))}
    ids = {name: np.array([f"{name[0]}{i}" for i in range(cases)])[case] for name in ("volume_id", "scan_id")}
    patients = np.array([f"p{i // 2}" for i in range(cases)])[case]
    table = pd.DataFrame({**facts, **ids, "patient_id": patients, "split": "test", "kind": "diagnosis"})
    table = table.astype("category").assign(target=target)
    made: list[tuple[pd.DataFrame, Scores]] = []
    for at in range(cells):
        mix, seed = MIXES[at % len(MIXES)], at // len(MIXES)
        folder = root / "cells" / f"uniferum-small-{mix}-seed{seed}-{at:08d}"
        folder.mkdir(parents=True)
        if at < DISTINCT:
            score = generator.normal(size=len(target)) + generator.uniform(0.2, 1.5) * target
            predictions = table.assign(score=score)
            words = {name: str for name in ("cohort", "group", "label", "patient_id")}
            made.append((predictions, score_predictions(predictions.astype(words), draws=2)))
        _write_cell(folder, *made[at % DISTINCT], mix, seed)


def _write_cell(folder: Path, table: pd.DataFrame, scores: Scores, mix: str, seed: int) -> None:
    table.to_parquet(folder / "predictions.parquet")
    scores.labels.to_parquet(folder / "metrics.parquet")
    config = {"seed": seed, "train_on": mix.split("+"), "model": {"kind": "uniferum"}, "training": {"steps": 1000}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    steps = [{"step": at, "loss": 1 / at, "validation/auroc": 0.9 - 1 / at} for at in range(10, 1001, 10)]
    (folder / "steps.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    (folder / "cell.log").write_text("".join(f"2026-01-01 step {at}: loss {1 / at:.6f}\n" for at in range(1, 500)))
    result = {"format": 1, "name": folder.name.rsplit("-", 1)[0], "train_on": mix.split("+"), "seed": seed}
    result |= {"model": "uniferum", "text_encoder": "tiny", "groups": plain(scores.groups.to_dict("records"))}
    (folder / "result.json").write_text(json.dumps(result | {"seconds": 100.0, "git_commit": "abc1234"}))


def plain_page(path: Path, records: list[CellRecord]) -> None:
    """Write every value of every label, and its interval, as one HTML table."""
    rows = []
    for record in records:
        table = record.labels
        three = zip(table["auroc"], table["auroc_lo"], table["auroc_hi"], strict=True)
        rows.append(
            f"<tr><td>{record.name}</td>" + "".join(f"<td>{a:.4f} [{b:.4f}, {c:.4f}]</td>" for a, b, c in three)
        )
    path.write_text(f"<!doctype html><input id=filter><table><tbody>{''.join(rows)}</table>{PLAIN_FILTER}</body>")


def opened(browser: str, page: Path) -> dict[str, float]:
    """Open a page from its folder, filter its rows, and return the seconds of both."""
    probed = page.with_name(f"probed-{page.name}")
    text = page.read_text()
    at = text.rindex("</body>")
    probed.write_text(text[:at] + PROBE + text[at:])
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom", "--timeout=60000"]
    with tempfile.TemporaryDirectory() as profile:
        command += [f"--user-data-dir={profile}", probed.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    found = re.search(r'data-said="([^"]*)"', done.stdout)
    assert found, done.stderr[-2000:]
    said = json.loads(found.group(1).replace("&quot;", '"'))
    return {"load_s": round(said["loaded"] / 1000, 2), "filter_s": round(said["filtered"] / 1000, 3)}


def main() -> None:
    """Write records and both pages, open them, print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("cells", 200), ("cases", 3000), ("labels", 77)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = asked.folder or Path(temporary)
        if not (root / "cells").exists():
            write_records(root, asked.cells, asked.cases, asked.labels)
        said = measure(root)
    print(json.dumps(said, indent=1))
    if asked.json:
        asked.json.write_text(json.dumps(said))


def measure(root: Path) -> dict[str, object]:
    """Write both pages and open them; sizes in MB, memory in GiB."""
    records = from_folders(root)
    start = time.perf_counter()
    before = _peak_gib()
    hardest(records)
    said: dict[str, object] = {"cells": len(records), "hardest_s": round(time.perf_counter() - start, 1)}
    said |= {"hardest_peak_gib": round(_peak_gib(), 2), "peak_before_gib": round(before, 2)}
    start = time.perf_counter()
    page = write_page(root / "page", records, [], Margins())
    said["write_s"] = round(time.perf_counter() - start, 1)
    files = [path for path in (root / "page").rglob("*") if path.is_file() and not path.name.startswith("probed-")]
    said |= {"page_mb": round(sum(path.stat().st_size for path in files) / 1e6, 2)}
    said |= {"index_mb": round(page.stat().st_size / 1e6, 2)}
    (root / "plain").mkdir(exist_ok=True)
    plain_page(root / "plain" / "index.html", records)
    said["plain_mb"] = round((root / "plain" / "index.html").stat().st_size / 1e6, 2)
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser:
        said |= {"page": opened(browser, page), "plain": opened(browser, root / "plain" / "index.html")}
    return said


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
