"""Submit a grid as one Ray Job: upload the working tree, run the driver on the cluster, follow its output.

There is one Ray Job for the grid, not one for each cell: Ray has no queue for jobs, and its head uses more memory with
each job. The submission id is made from the content of the grid, so submitting the same grid twice attaches to the
running job instead of starting a second one.
"""

import asyncio
import contextlib
import os
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration.cluster.connect import TOKEN
from orchestration.grid.config import load_grid
from orchestration.grid.paths import place_paths, relative_paths
from uniferum.config import fingerprint, load_yaml, override
from uniferum.errors import StateError, UniferumError

# In addition to .gitignore; anchored at the root, because uniferum/report/site is code.
EXCLUDED = ("/.git", "/.venv", "/demo", "/runs", "/stores", "/site", "__pycache__", "/.pytest_cache", "/.ruff_cache")
STOP_WAIT_S = "90"  # Ray kills a stopped driver after 3 s by default; cells need longer to write checkpoints
READY_S = 60.0  # a cluster that has just started accepts jobs only when its agents are running
ENDED = {"SUCCEEDED": 0, "FAILED": 1, "STOPPED": 130}
DETACHED = 130  # as after Ctrl-C
RECONNECTS = 8  # consecutive reconnects before giving up
PAUSE_S, PAUSE_MAX_S = 1.0, 30.0  # pause before a reconnect, doubled each time
STABLE_S = 20.0  # a connection that lasted this long counts as successful, even without output


@dataclass(frozen=True)
class Submission:
    """The driver of a grid on a cluster; ``again`` is the command that attaches to it."""

    identity: str
    client: Any
    again: str


def submit_grid(file: Path, address: str, settings: list[str], python: str = "python") -> Submission:
    """Start the driver, or attach to the one that is running.

    Args:
        file: the grid file, inside the working tree.
        address: the address of the Ray dashboard.
        settings: values that replace those of the file.
        python: the interpreter on the cluster that has this project's requirements.

    Raises:
        UniferumError: the file is wrong or outside the working tree, or a path is relative.
        StateError: no Ray dashboard answers at ``address``, or the cluster rejected the job.
    """
    if not address.startswith(("http://", "https://")):
        raise UniferumError("--address", address, must="be the address of the dashboard, http://HEAD:8265")
    grid = load_grid(file, settings)
    uploaded = _inside_the_tree(file)
    _refuse_relative(override(load_yaml(file), settings))
    client = _client(address)
    identity = f"uniferum-{grid.name}-{fingerprint(grid.model_dump(mode='json'), length=8)}"
    again = _command(file, address, settings, python)
    for attempt in range(1, 1000):
        name = identity if attempt == 1 else f"{identity}-{attempt}"
        status = _status(client, name)
        if status is not None and status not in ENDED:
            return Submission(name, client, again)
        if status is None:
            _start(client, name, uploaded, settings, python)
            return Submission(name, client, again)
    raise StateError(f"Grid {grid.name} was submitted 999 times", cure="Rename it, or delete its ended jobs in Ray.")


def _inside_the_tree(file: Path) -> Path:
    """The path of the grid file relative to the working tree, which is uploaded to the cluster."""
    tree = Path.cwd()
    base = place_paths(file, load_yaml(file)).get("base")
    for name in [file, *([Path(str(base))] if base else [])]:
        if not name.resolve().is_relative_to(tree):
            raise UniferumError(
                str(name), must=f"lie in the working tree ({tree}), which is uploaded", cure="copy it there"
            )
    return file.resolve().relative_to(tree)


def _refuse_relative(keys: Mapping[str, Any]) -> None:
    """Refuse relative paths: they would lie in the uploaded copy, which Ray deletes after the job."""
    for key, path in relative_paths(keys).items():
        must = "be an absolute path that every node of the cluster sees"
        raise UniferumError(key, path, must=must, cure=f"--set {key}=/a/shared/folder")


def _command(file: Path, address: str, settings: list[str], python: str) -> str:
    words = ["uniferum", "grid", "submit", str(file), "--address", address]
    words += [word for setting in settings for word in ("--set", setting)]
    return shlex.join(words if python == "python" else [*words, "--python", python])


def follow_submission(submission: Submission, say: Callable[[str], None]) -> int:
    """Print the driver's output until it ends, and reconnect when the connection breaks.

    Args:
        submission: the driver.
        say: prints a line.

    Returns:
        The exit code of ``grid run``; also 130 when the cluster cannot be reached any more.
    """
    lines, failed = _Lines(say), 0
    while True:
        started, received = time.monotonic(), lines.received
        reason = _tail(submission, lines)
        status = _answer(submission)
        if status in ENDED:
            _complete(submission, lines)
            return ENDED[status]
        went_well = lines.received > received or time.monotonic() - started > STABLE_S
        failed = 1 if went_well else failed + 1
        if failed == RECONNECTS:
            lines.end()
            known = "the grid is still running" if status else "the cluster does not answer; the grid may be running"
            say(f"detached ({reason}); {known}; to attach again: {submission.again}")
            return DETACHED
        time.sleep(min(PAUSE_S * 2 ** (failed - 1), PAUSE_MAX_S))


class _Lines:
    """Print a log line by line, each line once, although the log is sent from its beginning after every reconnect."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.received, self._say, self._skip, self._rest = 0, say, 0, ""

    def attached(self) -> None:
        """Skip the text that was received before."""
        self._skip = self.received

    def add(self, text: str) -> None:
        """Add a piece of text, which may end in the middle of a line."""
        new = text[self._skip :]
        self._skip = max(0, self._skip - len(text))
        self.received += len(new)
        *whole, self._rest = (self._rest + new).split("\n")
        for line in whole:
            self._say(line)

    def end(self) -> None:
        """Print the last line, which may lack its line break."""
        if self._rest:
            self._say(self._rest)
        self._rest = ""


def _tail(submission: Submission, lines: _Lines) -> str:
    """Print until the connection closes or breaks, and return the reason; the driver may go on in both cases."""
    from aiohttp import ClientError

    async def tail() -> None:
        lines.attached()
        async for text in submission.client.tail_job_logs(submission.identity):
            lines.add(text)

    try:
        asyncio.run(tail())
    except (RuntimeError, OSError, ClientError) as error:
        return " ".join(str(error).split())[:160]
    return "the connection was closed"


def _complete(submission: Submission, lines: _Lines) -> None:
    """Print the output that followed the end of the connection; the last lines say which cells failed."""
    lines.attached()
    with contextlib.suppress(RuntimeError, OSError):
        lines.add(submission.client.get_job_logs(submission.identity))
    lines.end()


def _answer(submission: Submission) -> str | None:
    """The state of the driver; None if the cluster does not answer or no longer knows it."""
    try:
        return _status(submission.client, submission.identity)
    except OSError:
        return None


def _start(client: Any, name: str, file: Path, settings: list[str], python: str) -> None:
    command = [python, "-m", "cli.main", "grid", "run", str(file), "--yes", "--address", "auto"]
    command += [word for setting in settings for word in ("--set", setting)]
    job = {
        "submission_id": name,
        "entrypoint": shlex.join(command),
        "runtime_env": {
            "working_dir": str(Path.cwd()),
            "excludes": list(EXCLUDED),
            "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": STOP_WAIT_S, "PYTHONUNBUFFERED": "1"},
        },
        "metadata": {"grid": str(file)},
    }
    until = time.monotonic() + READY_S
    while True:
        try:
            client.submit_job(**job)
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            if "already exists" in reason:
                return  # another shell submitted the same grid at the same moment
            if "No available agent" not in reason or time.monotonic() > until:
                raise StateError(f"The cluster rejected the job: {reason[:300].rstrip('.')}") from None
            time.sleep(1.0)
        else:
            return


def _client(address: str) -> Any:
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    token = os.environ.get("RAY_AUTH_TOKEN") or _saved_token()
    headers = {"Authorization": f"Bearer {token}"} if token else None
    try:
        return JobSubmissionClient(address, headers=headers)
    except (ConnectionError, RuntimeError, OSError, AuthenticationError) as error:
        reason = " ".join(str(error).split())[:160]
        cure = "Start Ray there, or give the address of its dashboard."
        raise StateError(f"No Ray dashboard answers at {address} ({reason.rstrip('.')})", cure=cure) from None


def _saved_token() -> str | None:
    path = TOKEN.expanduser()
    return path.read_text().strip() if path.exists() else None


def _status(client: Any, name: str) -> str | None:
    try:
        return str(client.get_job_status(name).value)
    except RuntimeError:
        return None
