"""Which submissions are refused, and how the output of a driver is followed over a bad connection."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from aiohttp import ClientError
from ray.exceptions import AuthenticationError
from ray.job_submission import JobStatus

from orchestration.cluster import job as submission
from orchestration.cluster.job import RECONNECTS, Submission, follow_submission, submit_grid
from tests.support.small_grids import grid
from uniferum.errors import StateError, UniferumError


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working tree: the current folder."""
    folder = tmp_path / "tree"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def _write(path: Path, world: Path, **changes: object) -> Path:
    path.write_text(yaml.safe_dump({**grid(world).model_dump(mode="json", exclude_none=True), **changes}))
    return path


def test_a_grid_file_outside_of_the_tree_is_refused(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(UniferumError, match="lie in the working tree"):
        submit_grid(_write(tmp_path / "grid.yaml", tmp_path), "http://127.0.0.1:1", [])


@pytest.mark.parametrize(("key", "value"), [("root", "runs"), ("stores", {"CTRATE": "stores/ctrate"})])
def test_relative_paths_are_refused(tree: Path, tmp_path: Path, key: str, value: object) -> None:
    with pytest.raises(UniferumError, match="absolute path that every node"):
        submit_grid(_write(tree / "grid.yaml", tmp_path, **{key: value}), "http://127.0.0.1:1", [])


def test_an_address_that_is_no_dashboard_is_refused(tree: Path, tmp_path: Path) -> None:
    file = _write(tree / "grid.yaml", tmp_path)
    with pytest.raises(UniferumError, match="http://HEAD:8265"):
        submit_grid(file, "ray://head:10001", [])
    with pytest.raises(UniferumError, match="No Ray dashboard answers"):
        submit_grid(file, "http://127.0.0.1:1", [])


class Taken:
    """A cluster to which another shell has just submitted the same grid."""

    def get_job_status(self, name: str) -> None:
        raise RuntimeError(f"{name} does not exist")

    def submit_job(self, submission_id: str, **job: object) -> None:
        raise RuntimeError(f"Job with submission_id {submission_id} already exists.")


def test_of_two_shells_that_submit_at_once_the_second_attaches(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "_client", lambda address: Taken())
    file = _write(tree / "grid.yaml", tmp_path)
    assert submit_grid(file, "http://head:8265", []).identity.startswith("uniferum-g-")


class Rejecting(Taken):
    """A cluster that rejects the job."""

    def submit_job(self, submission_id: str, **job: object) -> None:
        raise RuntimeError("Request failed with status code 500: no space left.")


def test_a_rejected_job_is_reported_with_the_reason_of_the_cluster(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "_client", lambda address: Rejecting())
    with pytest.raises(StateError, match=r"^The cluster rejected the job: .* no space left\.$"):
        submit_grid(_write(tree / "grid.yaml", tmp_path), "http://head:8265", [])


def test_a_rejected_token_is_reported_in_one_line(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(address: str, headers: object) -> None:
        raise AuthenticationError("Unauthorized: Missing authentication token")

    monkeypatch.setattr("ray.job_submission.JobSubmissionClient", refuse)
    with pytest.raises(UniferumError, match="Missing authentication token"):
        submit_grid(_write(tree / "grid.yaml", tmp_path), "http://127.0.0.1:1", [])


def test_the_command_that_attaches_again_is_the_one_that_was_given(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "_client", lambda address: Taken())
    _write(tree / "grid.yaml", tmp_path)
    again = submit_grid(Path("grid.yaml"), "http://head:8265", ["margins={AUROC: 0.1}"], "/opt/python").again
    expected = "grid submit grid.yaml --address http://head:8265 --set 'margins={AUROC: 0.1}' --python /opt/python"
    assert again == f"uniferum {expected}"


LOG = "plan: 2 cells\na: running\nb: running\na: done\nb: failed\nfailed cells: b\n"
BROKEN = RuntimeError("WebSocket connection closed unexpectedly with close code 1006")
Connection = tuple[int, Exception | None, str | Exception]


class Flaky:
    """A driver whose log is sent from its beginning on every connection; each connection breaks after some characters.

    A connection is (number of characters sent, how it ends, the driver's state afterwards); the last one repeats.
    """

    def __init__(self, *connections: Connection) -> None:
        self.connections, self.made = connections, 0

    async def tail_job_logs(self, name: str) -> AsyncIterator[str]:
        self.made += 1
        sent, end, _ = self._latest
        for start in range(0, sent, 7):
            yield LOG[start : min(start + 7, sent)]
        if end is not None:
            raise end

    def get_job_logs(self, name: str) -> str:
        return LOG

    def get_job_status(self, name: str) -> JobStatus:
        status = self._latest[2]
        if isinstance(status, Exception):
            raise status
        return JobStatus(status)

    @property
    def _latest(self) -> Connection:
        return self.connections[min(self.made, len(self.connections)) - 1]


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the pauses in seconds without waiting."""
    seconds: list[float] = []
    monkeypatch.setattr(submission.time, "sleep", seconds.append)
    return seconds


def _follow(client: Flaky) -> tuple[int, list[str]]:
    said: list[str] = []
    return follow_submission(Submission("uniferum-g-1", client, "uniferum grid submit grid.yaml"), said.append), said


@pytest.mark.parametrize(
    "end", [BROKEN, ClientError("handshake"), ConnectionResetError("reset"), None], ids=lambda end: type(end).__name__
)
def test_a_broken_connection_is_made_again_and_each_line_is_printed_once(
    naps: list[float], end: Exception | None
) -> None:
    driver = Flaky((16, end, "RUNNING"), (41, end, "RUNNING"), (len(LOG), None, "FAILED"))
    assert _follow(driver) == (1, LOG.splitlines())
    assert driver.made == 3


@pytest.mark.parametrize(("state", "code"), [("SUCCEEDED", 0), ("FAILED", 1), ("STOPPED", 130)])
def test_the_last_lines_are_printed_though_the_connection_broke_before_them(
    naps: list[float], state: str, code: int
) -> None:
    assert _follow(Flaky((30, BROKEN, state))) == (code, LOG.splitlines())
    assert not naps


def test_a_driver_that_cannot_be_followed_keeps_running_and_the_command_to_attach_is_printed(naps: list[float]) -> None:
    driver = Flaky((20, BROKEN, "RUNNING"))
    code, said = _follow(driver)
    assert code == 130
    assert said[:-1] == LOG[:20].splitlines()
    assert said[-1].startswith("detached (WebSocket connection closed")
    assert said[-1].endswith("the grid is still running; to attach again: uniferum grid submit grid.yaml")
    assert driver.made == RECONNECTS
    assert naps == sorted(naps)
    assert sum(naps) > 60, "long enough for a restart of the dashboard"


def test_a_dashboard_that_is_away_for_a_while_is_waited_for(naps: list[float]) -> None:
    away = ConnectionError("refused")
    driver = Flaky((9, BROKEN, away), (0, away, away), (0, away, away), (len(LOG), None, "SUCCEEDED"))
    assert _follow(driver) == (0, LOG.splitlines())


def test_a_silent_driver_behind_a_proxy_that_hangs_up_each_minute_is_followed_on(
    naps: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10**6, 60))
    monkeypatch.setattr(submission.time, "monotonic", lambda: float(next(clock)))
    driver = Flaky(*[(14, None, "RUNNING")] * (3 * RECONNECTS), (len(LOG), None, "SUCCEEDED"))
    assert _follow(driver) == (0, LOG.splitlines())
