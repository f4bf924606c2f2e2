"""A grid as one Ray Job: the working tree travels, the driver lives on the cluster, anybody may attach to its lines.

One Ray Job a grid, never one a cell: Ray has no queue for jobs and its head grows with each. The submission's name is
the grid's content, so that submitting the same grid twice attaches instead of doubling it.
"""

import asyncio
import os
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration.cluster import TOKEN
from orchestration.grid import load_grid
from uniferum.config import fingerprint
from uniferum.errors import UniferumError

EXCLUDED = (".git", ".venv", "demo", "runs", "stores", "site", "**/__pycache__", ".pytest_cache", ".ruff_cache")
STOP_WAIT_S = "90"  # Ray kills a stopped driver after 3 s by default; its cells need longer to write checkpoints
ENDED = {"SUCCEEDED": 0, "FAILED": 1, "STOPPED": 130}


@dataclass(frozen=True)
class Submission:
    """A grid's driver on a cluster."""

    identity: str
    client: Any


def submit_grid(file: Path, address: str, settings: list[str]) -> Submission:
    """Start the driver, or find the one that runs.

    Raises:
        UniferumError: the file is wrong, or no Ray dashboard answers at ``address``.
    """
    grid = load_grid(file, settings)
    if not address.startswith(("http://", "https://")):
        raise UniferumError("--address", address, must="be the dashboard's, http://HEAD:8265")
    client = _client(address)
    identity = f"uniferum-{grid.name}-{fingerprint(grid.model_dump(mode='json'), length=8)}"
    for attempt in range(1, 1000):
        name = identity if attempt == 1 else f"{identity}-{attempt}"
        status = _status(client, name)
        if status is not None and status not in ENDED:
            return Submission(name, client)
        if status is None:
            _start(client, name, file, settings)
            return Submission(name, client)
    raise UniferumError("grid", grid.name, must="have been submitted fewer than 1,000 times")


def follow_submission(submission: Submission, say: Callable[[str], None]) -> int:
    """Print the driver's lines until it ends; its exit code in the sense of ``grid run``."""

    async def tail() -> None:
        async for text in submission.client.tail_job_logs(submission.identity):
            say(text.rstrip("\n"))

    asyncio.run(tail())
    until = time.monotonic() + 30
    while (status := _status(submission.client, submission.identity)) not in ENDED and time.monotonic() < until:
        time.sleep(0.5)
    return ENDED.get(str(status), 1)


def _start(client: Any, name: str, file: Path, settings: list[str]) -> None:
    options = " ".join(f"--set {shlex.quote(setting)}" for setting in settings)
    client.submit_job(
        submission_id=name,
        entrypoint=f"python -m cli.main grid run {shlex.quote(str(file))} --yes --address auto {options}".strip(),
        runtime_env={
            "working_dir": str(Path.cwd()),
            "excludes": list(EXCLUDED),
            "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": STOP_WAIT_S, "PYTHONUNBUFFERED": "1"},
        },
        metadata={"grid": str(file)},
    )


def _client(address: str) -> Any:
    from ray.job_submission import JobSubmissionClient

    token = os.environ.get("RAY_AUTH_TOKEN") or _saved_token()
    headers = {"Authorization": f"Bearer {token}"} if token else None
    try:
        return JobSubmissionClient(address, headers=headers)
    except (ConnectionError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UniferumError("--address", address, must="be a Ray dashboard that answers", cure=reason) from None


def _saved_token() -> str | None:
    path = TOKEN.expanduser()
    return path.read_text().strip() if path.exists() else None


def _status(client: Any, name: str) -> str | None:
    try:
        return str(client.get_job_status(name).value)
    except RuntimeError:
        return None
