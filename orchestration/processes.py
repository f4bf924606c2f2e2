"""A process and all that it started: told from another that got its number later, and ended together."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Mapping
from typing import Any

import psutil

NEAR_S = 60.0  # clocks are set right now and then; no number comes round again so soon


def me() -> dict[str, Any]:
    """What this process is found by from another one: host, number, and when it began."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": began(os.getpid())}


def is_me(named: Mapping[str, Any] | None) -> bool:
    """Whether :func:`me` of this process gave ``named``."""
    return named is not None and named["pid"] == os.getpid() and lives(named)


def lives(named: Mapping[str, Any] | None) -> bool:
    """Whether the process that :func:`me` named still runs; one of another host is taken to."""
    if named is None:
        return False
    if named["host"] != socket.gethostname():
        return True
    since = began(named["pid"])
    return since is not None and abs(since - named["since"]) < NEAR_S


def began(pid: int) -> float | None:
    """When a process began, in seconds since 1970; None when there is no such process, or only its exit status."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def group_lives(group: int, since: float | None = None) -> bool:
    """Whether any process of a group still runs; its first one may have gone before the others.

    Args:
        group: the number of the group, which is that of its first process.
        since: when that one began; a later one of the same number leads another group.
    """
    first = began(group)
    if first is not None and since is not None and abs(first - since) > NEAR_S:
        return False
    try:
        os.killpg(group, 0)
    except OSError:
        return False  # there is none, or it is another user's
    return any(_group_of(pid) == group and began(pid) is not None for pid in psutil.pids())


def end_group(group: int, since: float | None = None, *, seconds: float = 10.0) -> None:
    """Ask every process of a group to end, and end for good what is left of it after ``seconds``."""
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
        until = time.monotonic() + patience
        if group_lives(group, since):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, number)
        while group_lives(group, since) and time.monotonic() < until:
            time.sleep(0.1)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(group, os.WNOHANG)


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None
