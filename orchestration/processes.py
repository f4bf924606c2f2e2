"""Identify a process tree across PID reuse, and terminate it."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Mapping
from typing import Any

import psutil

TOLERANCE_S = 60.0  # for clock adjustments; PIDs are not reused within a minute


def this_process() -> dict[str, Any]:
    """The identity of this process for other processes: host, PID and start time."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": start_time(os.getpid())}


def is_this_process(identity: Mapping[str, Any] | None) -> bool:
    """Whether ``identity`` is that of this process."""
    return identity is not None and identity["pid"] == os.getpid() and is_running(identity)


def is_running(identity: Mapping[str, Any] | None) -> bool:
    """Whether the process still runs; True for a process of another host, which cannot be checked."""
    if identity is None:
        return False
    if identity["host"] != socket.gethostname():
        return True
    since = start_time(identity["pid"])
    return since is not None and abs(since - identity["since"]) < TOLERANCE_S


def start_time(pid: int) -> float | None:
    """The start time of a process in seconds since 1970; None when it does not exist or is a zombie."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def group_is_running(group: int, since: float | None = None) -> bool:
    """Whether any process of a process group still runs; the first one may end before the others.

    Args:
        group: the id of the group, which is the PID of its first process.
        since: the start time of that process; a later process with the same PID leads another group.
    """
    first = start_time(group)
    if first is not None and since is not None and abs(first - since) > TOLERANCE_S:
        return False
    try:
        os.killpg(group, 0)
    except OSError:
        return False  # no such group, or another user's
    return any(_group_of(pid) == group and start_time(pid) is not None for pid in psutil.pids())


def terminate_group(group: int, since: float | None = None, *, seconds: float = 10.0) -> None:
    """Send SIGTERM to every process of a group, and SIGKILL to those that still run after ``seconds``."""
    for number, grace_s in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
        until = time.monotonic() + grace_s
        if group_is_running(group, since):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, number)
        while group_is_running(group, since) and time.monotonic() < until:
            time.sleep(0.1)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(group, os.WNOHANG)


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None
