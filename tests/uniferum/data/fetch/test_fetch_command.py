"""`uniferum data fetch` against servers with the same API: downloads, resumed downloads, refusals and messages."""

import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.support.cohort_layouts import CtRateWriter, table
from tests.support.dataset_servers import Served
from uniferum.errors import UniferumError


def run(*arguments: object):
    return CliRunner().invoke(app, ["data", "fetch", *map(str, arguments)])


def fault(result) -> str:
    assert isinstance(result.exception, UniferumError), result.exception
    assert "\n" not in str(result.exception)
    return str(result.exception)


def files(root: Path) -> set[str]:
    paths = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return {name for name in paths if not name.startswith(".cache/")}


def test_a_split_comes_whole_with_masks_and_all_tables_and_without_brain_scans(hub, ct_rate, tmp_path):
    out = tmp_path / "out"
    result = run("CTRATE", "--out", out, "--split", "valid")
    assert result.exit_code == 0, result.stderr
    assert f"next: uniferum data check configs/cohorts/ct_rate.yaml --root {out}" in result.stderr
    tables = {name for name in files(ct_rate.root) if name.endswith((".csv", ".txt"))}
    volumes = {name for name in files(ct_rate.root) if "valid_fixed" in name and "valid_0_a" not in name}
    assert files(out) == tables | volumes | {"uniferum_fetch.json"}
    assert all((out / name).read_bytes() == (ct_rate.root / name).read_bytes() for name in tables | volumes)


def test_a_limit_takes_the_same_volumes_each_time_some_of_held_out_patients(hub, ct_rate, tmp_path, monkeypatch):
    monkeypatch.setattr("uniferum.data.cohorts.ct_rate.CtRateConfig.model_fields", _with_few_held_out())
    result = run("CTRATE", "--out", tmp_path / "a", "--limit", 8)
    assert "train: 8 of 16 volumes, 2 of them from patients held out for selection" in result.stderr
    run("CTRATE", "--out", tmp_path / "b", "--limit", 8)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    volumes = {name for name in files(tmp_path / "a") if "/train_fixed/" in name and "ts_seg" not in name}
    assert len(volumes) == 8
    assert all((tmp_path / "a" / name.replace("dataset", "dataset/ts_seg/ts_total", 1)).is_file() for name in volumes)


def _with_few_held_out():
    from uniferum.data.cohorts.ct_rate import CtRateConfig

    few = CtRateConfig.model_fields["validation_patients"]._copy()
    few.default = 3
    return {**CtRateConfig.model_fields, "validation_patients": few}


def test_a_dry_run_shows_files_sizes_and_free_space_and_writes_nothing(hub, tmp_path):
    result = run("CTRATE", "--out", tmp_path / "out", "--split", "valid", "--limit", 2, "--dry-run")
    assert result.exit_code == 0
    plan, title, heads, *rows = result.stdout.splitlines()
    assert "8 files" in plan
    assert "20.0 kB" in result.stdout
    assert "free at" in plan
    assert (title, heads, len(rows)) == ("# files", "file\tsize", 8)
    assert not (tmp_path / "out").exists()


def test_cut_and_damaged_answers_are_resumed_and_fetched_again(hub: Served, ct_rate: CtRateWriter, tmp_path):
    hub.orders.cut["valid_1_a_1.nii.gz"] = 1
    hub.orders.damaged.add("valid_2_a_1.nii.gz")
    assert run("CTRATE", "--out", tmp_path / "out", "--split", "valid", "--parallel", 1).exit_code == 0
    for name in ("valid_1_a_1", "valid_2_a_1"):
        inner = ct_rate.path(name).relative_to(ct_rate.root)
        assert (tmp_path / "out" / inner).read_bytes() == ct_rate.path(name).read_bytes()
    ranges = [asked for _, path, asked in hub.got("valid_1_a_1.nii.gz") if "ts_seg" not in path]
    assert ranges == [None, "bytes=8192-"], "the rest alone is asked for"


def test_what_is_there_is_not_fetched_again_and_a_short_file_is(hub: Served, ct_rate: CtRateWriter, tmp_path):
    out = tmp_path / "out"
    run("CTRATE", "--out", out, "--split", "valid")
    hub.log.clear()
    again = run("CTRATE", "--out", out, "--split", "valid")
    assert again.stdout.startswith("0 files downloaded")
    assert not hub.got("valid_fixed/valid_1/valid_1_a/valid_1_a_1.nii.gz")
    short = out / ct_rate.path("valid_1_a_1").relative_to(ct_rate.root)
    short.write_bytes(short.read_bytes()[:100])
    assert "1 files downloaded" in run("CTRATE", "--out", out, "--split", "valid").stdout
    assert short.read_bytes() == ct_rate.path("valid_1_a_1").read_bytes()


def test_stopped_half_way_the_same_command_goes_on(hub: Served, ct_rate: CtRateWriter, tmp_path, monkeypatch):
    seen = []

    def stop(bar) -> None:
        seen.append(bar)
        if len(seen) == 6:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("cli.output.Transfer.file", stop)
        assert run("CTRATE", "--out", out, "--split", "valid").exit_code != 0
    assert json.loads((out / "uniferum_fetch.json").read_text())["done"] is False
    again = run("CTRATE", "--out", out, "--split", "valid")
    assert again.exit_code == 0
    assert "0 files downloaded" not in again.output
    assert " 0 were there" not in again.output
    assert json.loads((out / "uniferum_fetch.json").read_text())["done"] is True


@pytest.mark.parametrize("token", [None, "not-accepted"])
def test_without_access_one_line_says_where_to_accept_and_how_to_log_in(hub: Served, tmp_path, monkeypatch, token):
    hub.orders.token = "secret"
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    said = fault(run("CTRATE", "--out", tmp_path / "out"))
    assert "Accept the terms at https://huggingface.co/datasets/ibrahimhamamci/CT-RATE" in said
    assert "hf auth login" in said
    assert "not-accepted" not in said


def test_with_access_the_token_of_the_usual_place_is_used(hub: Served, tmp_path, monkeypatch):
    hub.orders.token = "secret"
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert run("CTRATE", "--out", tmp_path / "out", "--split", "valid", "--limit", 1).exit_code == 0


def test_luna16_comes_from_two_records_unpacked_and_its_archives_go(zenodo: Served, tmp_path):
    out = tmp_path / "out"
    result = run("LUNA16", "--out", out)
    assert result.exit_code == 0, result.stderr
    scans = {f"subset{s}/1.{s}.{n}.{end}" for s in range(2) for n in range(3) for end in ("mhd", "raw")}
    assert files(out) == scans | {"annotations.csv", "uniferum_fetch.json"}
    zenodo.log.clear()
    assert "archives were already unpacked" in run("LUNA16", "--out", out).stderr
    assert not zenodo.got("subset0.zip")
    (out / "subset0" / "1.0.1.raw").unlink()
    assert run("LUNA16", "--out", out).exit_code == 0
    assert files(out) == scans | {"annotations.csv", "uniferum_fetch.json"}


def test_a_limit_of_luna16_unpacks_annotated_scans_of_the_first_archives(zenodo: Served, tmp_path):
    run("LUNA16", "--out", tmp_path / "out", "--limit", 1)
    scans = {name for name in files(tmp_path / "out") if name.endswith(".mhd")}
    assert scans == {"subset0/1.0.1.mhd"}
    assert not zenodo.got("subset1.zip")


@pytest.mark.parametrize("ranges", [True, False])
def test_an_archive_is_resumed_and_its_checksum_compared(zenodo: Served, luna16: Path, tmp_path, ranges, monkeypatch):
    monkeypatch.setattr("threading.Event.wait", lambda self, timeout=None: self.is_set())
    zenodo.orders.ranges = ranges
    zenodo.orders.cut["subset0.zip"] = 2
    zenodo.orders.damaged.add("subset1.zip")
    assert run("LUNA16", "--out", tmp_path / "out").exit_code == 0
    asked = [entry[2] for entry in zenodo.got("subset0.zip")]
    assert asked[0] is None
    assert asked[1].startswith("bytes=")
    assert len(zenodo.got("subset1.zip")) == 2, "a second time, from the start"
    with zipfile.ZipFile(luna16 / "subset0.zip") as archive:
        assert (tmp_path / "out/subset0/1.0.2.raw").read_bytes() == archive.read("subset0/1.0.2.raw")


def test_a_restricted_record_says_how_access_is_had_and_takes_the_owners_link(tmp_path, monkeypatch, luna16: Path):
    from tests.support.dataset_servers import serving

    root = tmp_path / "duke"
    root.mkdir()
    for name in ("trn00001", "val00001", "val00002", "tst00001"):
        (root / f"{name}.npz").write_bytes(name.encode() * 99)
    table(root / "imgtrain_Abnormality_and_Location_Labels.csv", ("NoteAcc_DEID",), [["trn00001"]])
    with serving(root) as served:
        monkeypatch.setenv("ZENODO_ENDPOINT", served.address)
        served.orders.token = "granted"
        said = fault(run("RADCHEST", "--out", tmp_path / "out"))
        assert "https://zenodo.org/records/6406114" in said
        assert "ZENODO_LINK" in said
        monkeypatch.setenv("ZENODO_LINK", "https://zenodo.org/records/6406114?token=granted")
        result = run("RADCHEST", "--out", tmp_path / "out", "--split", "valid", "--limit", 1)
        assert result.exit_code == 0, result.stderr
        assert "granted" not in result.output
        assert {name for name in files(tmp_path / "out") if name.endswith(".npz")} == {"val00001.npz"}
        assert "granted" not in (tmp_path / "out/uniferum_fetch.json").read_text()


def test_inspect_is_fetched_by_a_person_whose_steps_are_printed(tmp_path):
    result = run("INSPECT", "--out", tmp_path / "out")
    assert result.exit_code == 0
    for words in ("stanfordaimi.azurewebsites.net", "data use agreement", "azcopy copy", "still missing"):
        assert words in result.stdout
    assert not (tmp_path / "out").exists()


def test_unknown_datasets_splits_and_mixed_folders_are_one_line(hub: Served, tmp_path, monkeypatch):
    assert "did you mean 'CTRATE'" in fault(run("CTRAT", "--out", tmp_path))
    assert "must be a split of CTRATE" in fault(run("CTRATE", "--out", tmp_path, "--split", "test"))
    (tmp_path / "uniferum_fetch.json").write_text(json.dumps({"format": 1, "dataset": "LUNA16"}))
    assert "must contain CTRATE or be empty" in fault(run("CTRATE", "--out", tmp_path, "--limit", 1))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "No connection to the hub" in fault(run("CTRATE", "--out", tmp_path / "x"))


def test_a_disk_that_is_too_small_is_said_before_the_first_byte(hub: Served, tmp_path, monkeypatch):
    monkeypatch.setattr("uniferum.data.fetch.plan.free_bytes", lambda _: 10_000)
    said = fault(run("CTRATE", "--out", tmp_path / "out"))
    assert "10.0 kB free" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("code", "dataset", "words"),
    [
        (200, "CTRATE", "did not answer in JSON for ibrahimhamamci/CT-RATE, it sent another kind of page. Check HF_"),
        (200, "LUNA16", "did not answer with a record in JSON. Check ZENODO_ENDPOINT"),
        (503, "CTRATE", "(the hub answered 503). The server has a fault: repeat the command later"),
        (503, "LUNA16", "(the server answered 503). The server has a fault: repeat the command later"),
    ],
)
def test_a_page_in_place_of_an_answer_and_a_server_in_trouble_are_one_line(tmp_path, monkeypatch, code, dataset, words):
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.end_headers()
            self.wfile.write(b"<html>log in to this network</html>")

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("ZENODO_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        result = run(dataset, "--out", tmp_path / "out", "--dry-run")
        server.shutdown()
        thread.join()
    assert words in fault(result)
