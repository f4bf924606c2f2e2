"""Ray: started on the spot or joined at an address; dashboard on, token private, logs kept apart."""

import logging
import math
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration.grid.resources import Resources
from uniferum.errors import UniferumError

TOKEN = Path("~/.ray/auth_token")
STAGE = "UNIFERUM_STAGE"
PLACES = ("UNIFERUM_WEIGHTS_DIR", "HF_HOME", "HF_HUB_OFFLINE", STAGE)
"""Where weights and staged stores lie on a node: told to the workers of a cluster that somebody else started."""


@dataclass(frozen=True)
class Cluster:
    """A joined cluster; ``ours`` when this process has to leave it at the end."""

    address: str
    dashboard: str
    ours: bool


class HeadLost(Exception):
    """The cluster's head is gone, and with it everything that ran there; only the records are left."""


def connect(address: str | None, resources: Resources, *, dashboard: bool = True) -> Cluster:
    """Start Ray here, or join the cluster at ``address`` (``auto``, or HOST:PORT of its head).

    Raises:
        UniferumError: ``ray://`` was given, or no cluster answers there.
    """
    check_address(address)
    environment(resources)
    import ray

    ours = not ray.is_initialized()
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "namespace": "uniferum"}
    if not ours:
        context = ray.init(ignore_reinit_error=True, **common)
    elif address is None:
        context = ray.init(address="local", include_dashboard=dashboard, dashboard_host="127.0.0.1", **common)
    else:
        context = _join(address, common)
    protect_token()
    url = context.dashboard_url
    return Cluster(ray.get_runtime_context().gcs_address, f"http://{url}" if url else "", ours)


def answers(address: str, *, seconds: float = 5.0) -> bool:
    """Whether the head at HOST:PORT takes connections."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=seconds).close()
    except OSError:
        return False
    return True


def leave(joined: Cluster) -> None:
    """End the Ray that was started here, or only this process's part in it."""
    import ray

    if joined.ours:
        ray.shutdown()


def check_address(address: str | None) -> None:
    """Refuse addresses that cannot carry a grid, before anything is started.

    Raises:
        UniferumError: with the command that can.
    """
    if address is None or address == "auto":
        return
    if address.startswith("ray://"):
        cure = "use: uniferum grid submit --address http://HEAD:8265"
        raise UniferumError("--address", address, must="not go through Ray Client", cure=cure)
    if address.startswith(("http://", "https://")):
        cure = "from outside the cluster: uniferum grid submit"
        raise UniferumError("--address", address, must="be auto or HOST:PORT from inside the cluster", cure=cure)
    _reach(address)


def _reach(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise UniferumError(
            "--address", address, must="be reachable as HOST:PORT", cure=f"{error}; is Ray running there?"
        ) from None


def _join(address: str, common: dict[str, Any]) -> Any:
    import ray

    if TOKEN.expanduser().exists() or os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # an explicit address never turns it on by itself
    found = {name: os.environ[name] for name in PLACES if name in os.environ}
    if found:
        common = {**common, "runtime_env": {"env_vars": found}}
    try:
        return ray.init(address=address, **common)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UniferumError("--address", address, must="be a running Ray cluster", cure=reason) from None


def environment(resources: Resources) -> None:
    """Settings that Ray reads once, at its own import or start, and that its workers inherit."""
    threads = str(max(1, int(resources.worker.cpus)))
    if resources.stage is not None:
        os.environ[STAGE] = str(resources.stage)
    for name, value in {
        "RAY_TRAIN_V2_ENABLED": "1",
        "RAY_DEDUP_LOGS": "0",
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "180",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # 15 by default: training would starve beside anything else on the machine
        "OMP_NUM_THREADS": threads,
        "TOKENIZERS_PARALLELISM": "false",
    }.items():
        os.environ.setdefault(name, value)


def protect_token() -> None:
    """Ray writes its token readable by everybody; only its owner should read it."""
    path = TOKEN.expanduser()
    if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        path.chmod(0o600)


def slots(resources: Resources) -> int:
    """How many cells the cluster's living nodes can hold at once; a worker's part lies on one node."""
    import ray

    worker = resources.worker
    workers = sum(_slots_of(node["Resources"], worker) for node in ray.nodes() if node["Alive"])
    return workers // resources.workers


def _slots_of(node: dict[str, float], resources: Resources) -> int:
    fits = math.floor(node.get("CPU", 0.0) / resources.cpus + 1e-9)
    if resources.gpus:
        whole, share = node.get("GPU", 0.0), resources.gpus
        per_gpu = math.floor(1 / share + 1e-9) if share < 1 else 1
        fits = min(fits, int(whole) * per_gpu if share < 1 else math.floor(whole / share + 1e-9))
    if resources.memory_gib:
        fits = min(fits, math.floor(node.get("memory", 0.0) / (resources.memory_gib * 2**30)))
    return fits


def check_fits(resources: Resources) -> None:
    """Say at once when no node can hold a cell, instead of waiting for one.

    Raises:
        UniferumError: with what the cluster has.
    """
    import ray

    if slots(resources) > 0:
        return
    has = ray.cluster_resources()
    shown = f"{has.get('CPU', 0):g} CPUs, {has.get('GPU', 0):g} GPUs, {has.get('memory', 0) / 2**30:.0f} GiB"
    wanted = f"cpus {resources.cpus:g}, gpus {resources.gpus:g}" + (
        f", memory_gib {resources.memory_gib:g}" if resources.memory_gib else ""
    )
    raise UniferumError(
        "resources",
        wanted,
        must="fit on the cluster",
        cure=f"the whole cluster has {shown}; change resources",
    )


def lane_resources(resources: Resources) -> dict[str, float]:
    """What one of a lane's workers reserves, in Ray's words."""
    resources = resources.worker
    found: dict[str, float] = {"CPU": resources.cpus}
    if resources.gpus:
        found["GPU"] = resources.gpus
    if resources.memory_gib:
        found["memory"] = resources.memory_gib * 2**30
    return found
