"""The page in a real headless Chromium: it sorts, filters, opens a case, and has no error, from a file."""

import json
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from tests.support.written_cells import write_cell
from uniferum.evaluation.masks import CaseMasks, ModelMasks, Outlined
from uniferum.report.checks.margins import Margins
from uniferum.report.read_records import from_folders
from uniferum.report.records import PendingCell
from uniferum.report.site.cases import Pictures, hardest
from uniferum.report.site.page import write_page

pytestmark = pytest.mark.integration

PROBE = """
<script>
window.faults = [];
window.addEventListener("error", (event) => window.faults.push(String(event.message)));
window.addEventListener("unhandledrejection", (event) => window.faults.push(String(event.reason)));
window.addEventListener("securitypolicyviolation", (event) => window.faults.push(event.violatedDirective));
window.addEventListener("load", async () => {
  const said = {};
  const table = document.querySelector("#grid table");
  const heading = [...table.querySelectorAll("th")].find((th) => th.textContent === "Training data");
  const column = () => [...table.tBodies[0].rows].map((row) => row.cells[4].textContent);
  said.before = column(); heading.click(); said.up = column(); heading.click(); said.down = column();
  const filter = document.getElementById("filter");
  filter.value = "gatortron"; filter.dispatchEvent(new Event("input"));
  said.shown = [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[0].textContent);
  filter.value = ""; filter.dispatchEvent(new Event("input"));
  const until = async (found) => {
    for (let wait = 0; wait < 400 && !found(); wait++) await new Promise((done) => setTimeout(done, 50));
  };
  said.stops = [...document.querySelectorAll("a, button, input, select, summary, [tabindex='0']")]
    .filter((one) => one.tabIndex >= 0 && one.checkVisibility()).length;
  const heat = document.getElementById("heat");
  said.heat = [...heat.tBodies[0].rows].map((row) => row.cells[2].textContent);
  heat.querySelector("th").focus();
  const press = (key) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  document.querySelector("#heat-folds button").click();
  said.columns = heat.tHead.rows[0].cells.length;
  heat.querySelector("th").focus();
  for (const key of ["ArrowDown", "ArrowRight", "ArrowRight", "ArrowRight"]) press(key);
  said.status = document.getElementById("heat-said").textContent;
  press("Enter");
  await until(() => detail.dataset.shown?.startsWith("label:"));
  said.plots = detail.querySelectorAll(".uplot").length;
  location.hash = "cell:0";
  await until(() => detail.dataset.shown === "cell:0");
  said.cell = detail.textContent;
  document.getElementById("heat-base").value = "0";
  document.getElementById("heat-base").dispatchEvent(new Event("change"));
  said.differences = [...heat.tBodies[0].rows].map((row) => row.cells[2].textContent);
  document.querySelector('nav a[href="#tables"]').click();
  await until(() => document.querySelector("#tables table"));
  said.opened = document.querySelectorAll("#tables table").length;
  document.getElementById("case-kind").value = "fn";
  document.getElementById("case-kind").dispatchEvent(new Event("change"));
  said.ranking = document.getElementById("case-said").textContent;
  document.getElementById("case-cell").value = "0"; document.getElementById("case-label").value = "1";
  const rank = (kind) => {
    document.getElementById("case-kind").value = kind;
    document.getElementById("case-kind").dispatchEvent(new Event("change"));
    const lines = [...document.querySelectorAll("#cases li")];
    return lines.map((line) => Number(line.textContent.match(/error ([\\d.]+)/)[1]));
  };
  said.misses = rank("fn"); said.alarms = rank("fp"); said.errors = rank("all");
  said.of = document.getElementById("case-said").textContent;
  said.caseStops = document.querySelectorAll("#cases li button[tabindex='0']").length;
  document.getElementById("case-cell").value = ""; document.getElementById("case-label").value = "";
  rank("fn");
  said.colours = new Set(Array.from({ length: 117 }, (_, id) => colourOf(id + 1).join())).size;
  location.hash = "cell:0";
  await until(() => detail.dataset.shown === "cell:0");
  [...detail.querySelectorAll("button")].find((one) => one.textContent === "cases").click();
  said.fromCell = document.getElementById("case-cell").value + document.getElementById("case-label").value;
  document.getElementById("case-cell").value = ""; document.getElementById("case-label").value = "";
  rank("fn");
  const line = document.querySelector("#cases li");
  if (line) {
    line.click();
    for (let wait = 0; wait < 400 && !document.querySelector("#viewer[data-shown]"); wait++)
      await new Promise((done) => setTimeout(done, 50));
    const canvases = [...document.querySelectorAll("#viewer canvas")];
    said.canvases = canvases.length;
    if (window.caseViewer) {
      const gl = window.caseViewer.gl, pixels = new Uint8Array(4 * gl.drawingBufferWidth * gl.drawingBufferHeight);
      const read = () => {
        window.caseViewer.drawScene();
        gl.readPixels(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
        let coloured = 0;
        const greys = new Set();
        for (let at = 0; at < pixels.length; at += 4) {
          const [r, g, b] = pixels.subarray(at, at + 3);
          if (r === g && g === b) greys.add(r); else if (r < 200 || g || b) coloured++;  // not the crosshair
        }
        return { coloured, greys: greys.size };
      };
      const box = (name, checked) => {
        const found = document.getElementById(name);
        found.checked = checked; found.dispatchEvent(new Event("change"));
      };
      said.volumes = window.caseViewer.volumes.length;
      said.hu = [0, 11].map((x) => window.caseViewer.volumes[0].getValue(x, 5, 4));
      said.both = read(); box("mask", false); said.model = read(); box("model", false); said.none = read();
    } else {
      const edge = (at) => canvases[0].getContext("2d").getImageData(at, 5, 1, 1).data[0];
      said.edges = [edge(0), edge(canvases[0].width - 1)];
      said.greys = canvases.map((c) => new Set(c.getContext("2d").getImageData(0, 0, c.width, c.height).data).size);
    }
    said.structures = [...document.querySelectorAll("#structures li")].map((line) => line.textContent.trim());
    said.name = document.getElementById("case-name").textContent;
    said.tables = document.querySelectorAll("#cases table").length;
    said.flags = document.getElementById("case-flags").textContent;
  }
  said.images = [...document.images].map((image) => image.complete && image.naturalWidth > 0);
  said.faults = window.faults;
  document.title = "SAID" + JSON.stringify(said) + "DONE";
  document.body.dataset.said = JSON.stringify(said);
});
</script>
"""


class FakeStore:
    """A store of one small volume, whose voxels rise along x."""

    def manifest(self):
        return pd.DataFrame({"scan_id": [str(at) for at in range(40)], "flags": [["wrong_hu"]] * 40})

    def read(self, scan_id, level):
        return np.broadcast_to(np.linspace(-1000, 600, 12).astype(np.int16)[:, None, None], (12, 10, 8)).copy()

    def affine(self, scan_id, level):
        return np.diag([4.0, 4.0, 4.0, 1.0])

    def layers(self, scan_id):
        return ("totalsegmentator",)

    def read_mask(self, scan_id, layer, level):
        mask = np.zeros((12, 10, 8), np.uint8)
        mask[3:6, 3:6, 3:6] = 10
        return mask


@pytest.fixture(scope="module")
def chromium():
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if shutil.which(name):
            return shutil.which(name)
    pytest.skip("no chromium is installed; on Debian: apt-get install chromium")


def outlined():
    mask = np.zeros((12, 10, 8), np.uint8)
    mask[2:6, 4:8, 4:8] = 10
    return CaseMasks("totalsegmentator", mask, (Outlined("Lungs", 10, (10, 11), 0.5),))


@pytest.fixture
def page(tmp_path):
    write_cell(tmp_path / "grid", "CTRATE")
    write_cell(tmp_path / "grid", "CTRATE+SEG", encoder="gatortron")
    stores = {name: FakeStore() for name in ("CTRATE", "INSPECT", "RADCHEST")}
    records = from_folders(tmp_path / "grid")
    cases = hardest(records)
    masks = ModelMasks("The model's masks are these.", {(one.cohort, one.scan_id): outlined() for one in cases})
    pending = [PendingCell("cnn-INSPECT", "cnn", "", "INSPECT", 0, "failed: <script>alert(1)</script>", "do it")]
    pictures = Pictures(cases, stores, masks)
    return write_page(tmp_path / "site", records, pending, Margins(synthetic=True), pictures=pictures)


WEBGL = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


def said_in(chromium, page, flags):
    text = page.read_text().replace("</head>", f"{PROBE}</head>")
    probed = page.with_name("probed.html")
    probed.write_text(text)
    command = [chromium, "--headless=new", "--no-sandbox", "--virtual-time-budget=60000", "--dump-dom", *flags]
    command += ["--enable-logging=stderr", f"--user-data-dir={page.parent / 'profile'}", probed.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    said = re.search(r"SAID(\{.*?\})DONE", done.stdout)
    assert said, done.stderr[-2000:]
    return json.loads(said.group(1)), done.stderr


def check_quiet(said, log):
    assert said["faults"] == []
    # The one remark allowed is about this test's own reading back of canvases.
    assert not [line for line in log.splitlines() if "CONSOLE" in line and "readback" not in line.lower()]


def check_cases(said):
    for errors in (said["misses"], said["alarms"], said["errors"]):
        assert errors == sorted(errors, reverse=True)
    assert sorted([*said["misses"], *said["alarms"]], reverse=True) == said["errors"]  # each is the one or the other
    assert re.search(r"of cell uniferum-\S+ on CTRATE all: \w+ \w+: \d+ of the \d+ cases whose", said["of"])
    assert said["caseStops"] == 1
    assert said["colours"] > 110  # of 117 organs
    assert said["fromCell"].startswith("0")
    assert len(said["fromCell"]) > 1


def check_views(said):
    assert said["stops"] < 45
    assert len(said["heat"]) == 2
    assert all(re.fullmatch(r"0\.\d{4}", text) for text in said["heat"])
    assert said["columns"] == 2 + 5 + 2  # five means, and the two labels of CT-RATE
    assert re.search(r"CTRATE all: lung nodule: 0\.\d{4} \[.*\], N = 40, \d+ positive", said["status"])
    assert said["plots"] == 2
    assert "Config: differences to the most similar cell" in said["cell"]
    assert "Provenance, cost, config and log" in said["cell"]
    assert said["differences"][0] == "±0.0000"
    assert re.fullmatch(r"[-+]0\.\d{4}", said["differences"][1])
    assert said["opened"] > 3


@pytest.mark.slow
def test_the_page_sorts_filters_and_opens_a_case_from_a_file_without_an_error(chromium, page):
    said, log = said_in(chromium, page, ["--disable-gpu", "--disable-3d-apis"])
    check_quiet(said, log)
    assert said["up"] == ["CTRATE", "CTRATE+SEG", "INSPECT"]
    assert said["down"] == said["up"][::-1]
    assert said["shown"] == ["uniferum-gatortron-CTRATE+SEG"]
    assert said["canvases"] == 3
    assert said["structures"] == ["Lungs: Dice 0.500"]
    axial, coronal, sagittal = said["greys"]
    assert min(axial, coronal) > 10
    assert sagittal == 2  # one grey value, and opaque: the volume rises along x alone
    assert said["edges"] == [255, 0]  # +x is the patient's right, which is drawn on the left
    assert said["name"].startswith(("CTRATE/", "INSPECT/", "RADCHEST/"))
    assert said["tables"] == 1
    assert said["flags"] == "Flags of the scan: wrong_hu"
    assert said["ranking"].startswith("Ranked by the largest 1 - probability where the label is positive of all cells")
    check_views(said)
    check_cases(said)
    assert all(said["images"])


@pytest.mark.slow
def test_niivue_shows_the_volume_with_both_masks_from_a_file(chromium, page):
    said, log = said_in(chromium, page, WEBGL)
    check_quiet(said, log)
    assert said["canvases"] == 1
    assert said["volumes"] == 3
    assert said["hu"] == pytest.approx([-1000, 600], abs=7)  # 8 bits a voxel
    assert said["both"]["coloured"] > said["model"]["coloured"] > said["none"]["coloured"]
    assert said["none"]["greys"] > 10
    assert said["structures"] == ["Lungs: Dice 0.500"]
