"""A grid as a Ray Job on a real cluster: the tree travels, lines stream back, one detaches and attaches again."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.grid.cells import expand
from orchestration.grid.config import load_grid
from orchestration.grid.records import CellFolder, named_folders
from tests.integration.conftest import edit
from tests.integration.test_survive import step_of, until

pytestmark = [pytest.mark.integration, pytest.mark.ray, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
TRAVELS = ("cli", "orchestration", "uniferum", "configs", "pyproject.toml", ".gitignore")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A working tree as a user has it, with what must stay at home."""
    folder = tmp_path / "tree"
    folder.mkdir()
    for name in TRAVELS:
        source, skipped = ROOT / name, shutil.ignore_patterns("__pycache__")
        _ = shutil.copytree(source, folder / name, ignore=skipped) if source.is_dir() else shutil.copy(source, folder)
    (folder / "runs").mkdir()
    with (folder / "runs" / "large").open("wb") as large:
        large.truncate(600 * 2**20)  # more than Ray lets travel
    return folder


@pytest.fixture
def dashboard(home: Path, tmp_path: Path) -> Iterator[str]:
    """The dashboard of a cluster that was started as administrators do, with a token; not by this process."""
    gcs, page, agent = (free_port() for _ in range(3))
    binary = str(Path(sys.executable).with_name("ray"))
    subprocess.run([binary, "get-auth-token", "--generate"], check=True, capture_output=True)
    ports = ("--port", gcs, "--dashboard-port", page, "--dashboard-agent-listen-port", agent)
    command = [binary, "start", "--head", "--block", "--num-cpus", "2", *map(str, ports)]
    with (tmp_path / "head.log").open("wb") as log:
        # At the end Ray would wait 30 s for a detached actor of Ray Train.
        changed = {"RAY_AUTH_MODE": "token", "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "1"}
        head = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **changed}, start_new_session=True)
    try:
        until(lambda: head.poll() is not None or _answers(page), 120)
        assert head.poll() is None, (tmp_path / "head.log").read_text()
        yield f"http://127.0.0.1:{page}"
    finally:
        head.terminate()
        head.wait(timeout=60)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def submitted(tree: Path, grid_file: Path) -> Iterator[Path]:
    """A grid of one small cell, inside the tree."""
    edit(
        grid_file,
        defaults={"training": {"steps": 60, "validate_every": 30}},
        cells=[{"text_encoder": "small", "train_on": ["CTRATE"]}],
        tracking={"enabled": False},
    )
    shutil.move(grid_file, tree / "grid.yaml")
    return tree / "grid.yaml"


def _submit(file: Path, address: str, log: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "cli.main", "grid", "submit", file.name, "--address", address]
    command += ["--python", sys.executable]
    return subprocess.Popen(command, cwd=file.parent, stdout=log.open("wb"), stderr=subprocess.STDOUT)


def test_a_submitted_grid_runs_on_the_cluster_though_its_submitter_detaches(
    submitted: Path, dashboard: str, tmp_path: Path
) -> None:
    grid = load_grid(submitted)
    (cell,) = expand(grid)
    first = _submit(submitted, dashboard, tmp_path / "first.log")
    until(lambda: first.poll() is not None or step_of(grid, cell.name) >= 2)
    first.send_signal(signal.SIGINT)
    assert first.wait(timeout=60) == 130, (tmp_path / "first.log").read_text()

    again = _submit(submitted, dashboard, tmp_path / "again.log")
    assert again.wait(timeout=300) == 0, (tmp_path / "again.log").read_text()

    logs = [(tmp_path / name).read_text() for name in ("first.log", "again.log")]
    names = [re.search(r"submitted as (\S+)", log)[1] for log in logs]  # type: ignore[index]
    assert names[0] == names[1], "the second command attached to the driver of the first"
    assert "1 of 1 cells done" in logs[1]
    (folder,) = named_folders(grid.cells_folder, cell.name)
    assert CellFolder(folder).done
