"""Every command of docs/how-to/reproduce.md is executed, in its order, on phantoms in the datasets' own layouts.

Stand-ins, each named where it is used: servers on loopback for the hub and Zenodo, a copy for the person who fetches
INSPECT, a program that thresholds for TotalSegmentator, an endpoint that looks for a word for the language model. The
configs are copies with small numbers; the commands are the page's own, with ``/data`` and the endpoint's address
replaced, the preparation's grid made coarse, and ``segment`` in this process in place of Ray's GPUs.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cli.main import app
from tests.support.dataset_servers import serving
from uniferum.config import load_yaml, merge
from uniferum.data.phantom.config import PhantomConfig, Splits
from uniferum.data.phantom.writing import write_phantoms

pytestmark = [pytest.mark.integration, pytest.mark.ray]

PROJECT = Path(__file__).resolve().parents[2]
PAGE = PROJECT / "docs" / "how-to" / "reproduce.md"
COARSE = "geometry={spacing_mm: [4, 4, 4], model_shape: [48, 40, 32]}"
FEW = Splits(train=6, validation=4, test=4)
FEWER = Splits(train=2, validation=2, test=2)

TOTALSEGMENTATOR = """#!{python} -IS
# A stand-in for TotalSegmentator: air is lung, left and right by the middle of the first axis. It needs no package,
# for starting one process a scan is most of what it costs.
import array, gzip, struct, sys
raw = gzip.open(sys.argv[sys.argv.index("-i") + 1]).read()
columns, start = struct.unpack_from("<h", raw, 42)[0], int(struct.unpack_from("<f", raw, 108)[0])
kind, bits = struct.unpack_from("<hh", raw, 70)
assert kind == 4, "an int16 volume"
lung = [12 if struct.unpack_from("<f", raw, 280)[0] * (i - columns / 2) > 0 else 10 for i in range(columns)]
mask = bytes(lung[n % columns] if -990 < hu < -600 else 0 for n, hu in enumerate(array.array("h", raw[start:])))
header = bytearray(raw[:start])
struct.pack_into("<hh", header, 70, 2, 8)
with gzip.open(sys.argv[sys.argv.index("-o") + 1], "wb", 1) as file:
    file.write(header + mask)
"""


def commands() -> list[str]:
    """The lines of the page's code blocks."""
    lines, inside = [], False
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            inside = not inside
        elif inside:
            lines.append(line)
    return lines


def test_the_page_names_every_step_in_order() -> None:
    verbs = list(dict.fromkeys(" ".join(line.split()[1:3]) for line in commands() if line.startswith("uniferum data")))
    assert verbs == [f"data {verb}" for verb in ("fetch", "check", "segment", "label-reports", "prepare", "verify")]
    assert [line for line in commands() if not line.startswith(("uniferum ", "sed -i "))] == []


def test_every_command_of_the_page_runs_on_phantoms(
    tmp_path: Path, ray_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    phantoms = tmp_path / "phantoms"
    few = PhantomConfig(voxel_mm=8, ct_rate=FEW, inspect=FEWER, rad_chest=FEWER, luna16=2, second_reconstruction=0)
    write_phantoms(phantoms, few)
    work = tmp_path / "work"
    shutil.copytree(PROJECT / "configs", work / "configs")
    _small_configs(work / "configs")
    _program(tmp_path / "bin", monkeypatch)
    monkeypatch.chdir(work)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with ExitStack() as stack:
        hub = stack.enter_context(serving(phantoms / "ct_rate"))
        records = {"6406114": sorted(p.name for p in (phantoms / "rad_chest").iterdir() if p.is_file())}
        records |= {"3723295": ["annotations.csv", "subset0.zip"], "4121926": ["subset1.zip"]}
        zenodo = stack.enter_context(serving(_archived(phantoms, tmp_path / "zenodo"), records=records))
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        monkeypatch.setenv("ZENODO_ENDPOINT", zenodo.address)
        endpoint = stack.enter_context(_language_model())
        for line in commands():
            text = line.replace("/data/", f"{tmp_path}/data/").replace("http://127.0.0.1:8000/v1", endpoint)
            _run(text)
            if "fetch INSPECT" in line:  # the person who follows the printed steps
                left_out = shutil.ignore_patterns("ts_total", "report_labels.csv")
                shutil.copytree(phantoms / "inspect", tmp_path / "data" / "INSPECT", ignore=left_out)
    assert len(list((work / "runs/paper/cells").glob("*/result.json"))) == 1


def _run(line: str) -> None:
    words = shlex.split(line)
    if words[0] != "uniferum":
        subprocess.run(words, check=True)
        return
    if "prepare" in words:
        words += ["--set", COARSE]
    if "segment" in words:  # there need be no GPU here, whose tasks Ray would wait for
        words[words.index("gpu")] = "cpu"
        words.append("--local")
    result = CliRunner().invoke(app, words[1:])
    assert result.exit_code == 0, f"{line}\n{result.stderr[-2000:]}\n{result.exception!r}"


def _small_configs(configs: Path) -> None:
    """Numbers of the page's configs made small: held-out patients, phantom voxels, one cell of four steps."""
    changes = {
        "cohorts/ct_rate.yaml": {"validation_patients": 4},
        "cohorts/rad_chest.yaml": {"spacing_mm": 8.0},
    }
    for name, change in changes.items():
        path = configs / name
        path.write_text(yaml.safe_dump(merge(load_yaml(path), change)))
    grid = load_yaml(configs / "paper_grid.yaml")
    del grid["base"]
    grid |= {
        "defaults": {
            "geometry": {"spacing_mm": [4.0, 4.0, 4.0], "model_shape": [48, 40, 32]},
            "model": {"encoder": {"name": "tf_efficientnet_lite0", "weights": "none", "stride": 8}},
            "training": {"steps": 1, "validate_every": 1, "batch": 4, "micro_batch": 4, "precision": "fp32",
                         "checkpoint_every": 1, "threads": 1},
        },
        "text_encoders": {"pubmedbert": {"name": "tiny", "layers": 1, "hidden": 32}},
        "cells": [{"text_encoder": "pubmedbert", "train_on": ["CTRATE+SEG"]}],
        "overrides": [],
        "root": str(configs.parent / "runs" / "paper"),  # Ray's workers of this session run in another folder
        "stores": {name: str(configs / store) for name, store in grid["stores"].items()},
        "resources": {"cpus": 1, "checkpoint_gib": 0.01},
        "policy": {"free_gib": 0.01},
    }  # fmt: skip
    (configs / "paper_grid.yaml").write_text(yaml.safe_dump(grid))


def _program(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    path = folder / "TotalSegmentator"
    path.write_text(TOTALSEGMENTATOR.format(python=sys.executable))
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def _archived(phantoms: Path, folder: Path) -> Path:
    """LUNA16's subsets as zip archives and RAD-ChestCT's files, side by side as Zenodo has files."""
    folder.mkdir()
    for path in (phantoms / "rad_chest").iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    shutil.copy(phantoms / "luna16" / "annotations.csv", folder)
    for number in range(2):
        with zipfile.ZipFile(folder / f"subset{number}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted((phantoms / "luna16" / f"subset{number}").iterdir()):
                archive.write(path, f"subset{number}/{path.name}")
    return folder


@contextmanager
def _language_model() -> Iterator[str]:
    """A stand-in for the language model: a finding is there where its name stands in the report."""

    class ModelRequests(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            report = body["messages"][0]["content"].split("Below is the report:")[1]
            answer = "Yes" if "Findings:" in report else "No"
            content = json.dumps({"KeySentence": "", "PresenceOfPathology": answer})
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"choices": [{"message": {"content": content}}]}).encode())

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), ModelRequests)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
