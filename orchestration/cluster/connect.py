"""Connect to Ray: start it here or join a cluster at an address, with dashboard and a private token."""

import logging
import math
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration.grid.resources import Resources
from uniferum.errors import StateError, UniferumError

TOKEN = Path("~/.ray/auth_token")
STAGE = "UNIFERUM_STAGE"
FORWARDED = ("UNIFERUM_WEIGHTS_DIR", "HF_HOME", "HF_HUB_OFFLINE", STAGE)
"""Environment variables with folders of weights and staged stores, forwarded to the workers of a joined cluster."""


@dataclass(frozen=True)
class Cluster:
    """A connected cluster; ``ours``: this process opened the connection and must close it."""

    address: str
    dashboard: str
    ours: bool


class HeadLost(Exception):
    """The head of the cluster, and with it everything that ran there, is gone; the cells' folders remain."""


def connect(address: str | None, resources: Resources, *, dashboard: bool = True) -> Cluster:
    """Start Ray here, or join the cluster at ``address`` (``auto``, or HOST:PORT of its head).

    Raises:
        UniferumError: the address begins with ``ray://``, or no cluster answers there.
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
    """Whether the head at HOST:PORT accepts connections."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=seconds).close()
    except OSError:
        return False
    return True


def leave(cluster: Cluster) -> None:
    """Disconnect, and stop Ray if it was started here."""
    import ray

    if cluster.ours:
        ray.shutdown()


def check_address(address: str | None) -> None:
    """Refuse an address that a grid cannot run on, before anything is started.

    Raises:
        UniferumError: the address is Ray Client's, a dashboard's or no HOST:PORT; names the right command.
        StateError: nothing answers there.
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
    if not port.isdecimal():
        raise UniferumError("--address", address, must="be auto or HOST:PORT")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        cure = "Is Ray running there? Start it with `ray start --head`, or give another --address."
        raise StateError(f"No answer at {address} ({error})", cure=cure) from None


def _join(address: str, common: dict[str, Any]) -> Any:
    import ray

    if TOKEN.expanduser().exists() or os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # Ray does not turn it on for an explicit address
    variables = {name: os.environ[name] for name in FORWARDED if name in os.environ}
    if variables:
        common = {**common, "runtime_env": {"env_vars": variables}}
    try:
        return ray.init(address=address, **common)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        cure = "Start it with `ray start --head`, or give another --address."
        raise StateError(f"No Ray cluster runs at {address} ({reason.rstrip('.')})", cure=cure) from None


def environment(resources: Resources) -> None:
    """Set the environment variables that Ray reads once, at its import or start, and that its workers inherit."""
    threads = str(max(1, int(resources.worker.cpus)))
    if resources.stage is not None:
        os.environ[STAGE] = str(resources.stage)
    for name, value in {
        "RAY_TRAIN_V2_ENABLED": "1",
        "RAY_DEDUP_LOGS": "0",
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "180",
        # A process more for each worker group; a node that goes away ends its cells, which the scheduler starts again.
        "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # 15 by default, which slows training beside any other process
        "OMP_NUM_THREADS": threads,
        "TOKENIZERS_PARALLELISM": "false",
    }.items():
        os.environ.setdefault(name, value)


def protect_token() -> None:
    """Make Ray's token file readable only by its owner; Ray writes it readable by everybody."""
    path = TOKEN.expanduser()
    if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        path.chmod(0o600)


def slots(resources: Resources) -> int:
    """The number of cells that fit on the living nodes at once; each worker needs its resources on one node."""
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
    """Refuse resources that no node has, instead of waiting for such a node.

    Raises:
        UniferumError: no node can hold a cell; names the resources of the cluster.
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


def worker_resources(resources: Resources) -> dict[str, float]:
    """The resources that one worker reserves, with Ray's keys."""
    worker = resources.worker
    reserved: dict[str, float] = {"CPU": worker.cpus}
    if worker.gpus:
        reserved["GPU"] = worker.gpus
    if worker.memory_gib:
        reserved["memory"] = worker.memory_gib * 2**30
    return reserved
