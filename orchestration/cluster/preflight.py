"""What is checked before a grid starts: that its root can be written, is seen by other nodes, and has room."""

import logging
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestration.grid.config import GridConfig
from orchestration.grid.planned import PlannedCell
from orchestration.grid.states import TO_TRAIN
from uniferum.errors import UniferumError

log = logging.getLogger(__name__)


def check_root(root: Path) -> None:
    """Write and remove a file.

    Raises:
        UniferumError: the folder cannot be made or written.
    """
    probe = root / f".probe-{uuid.uuid4().hex}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise UniferumError("root", root, must="be a folder that can be written", cure=str(error)) from None


def check_space(grid: GridConfig, planned: Sequence[PlannedCell]) -> None:
    """Refuse to start what cannot be finished: two checkpoints (last and best) a cell, and the floor.

    Raises:
        UniferumError: with what is needed and what is free.
    """
    cells = sum(p.state in TO_TRAIN for p in planned)
    needed = 2 * grid.resources.checkpoint_gib * cells + grid.policy.free_gib if cells else 0.0
    free = free_gib(grid.root)
    if free < needed:
        raise UniferumError(
            "root",
            f"{grid.root}, {free:.1f} GiB free",
            must=f"have {needed:.1f} GiB free for {cells} cells of two checkpoints",
            cure="free some, give another root, or lower resources.checkpoint_gib or policy.free_gib",
        )


def free_gib(folder: Path) -> float:
    """Free space where the folder is, or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / 2**30


def check_seen_everywhere(root: Path) -> None:
    """Every living node of the cluster must see a file that this process writes.

    Raises:
        UniferumError: with the nodes that do not.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [node for node in ray.nodes() if node["Alive"]]
    if len(nodes) < 2:
        return
    marker = (root / f".seen-{uuid.uuid4().hex}").resolve()
    marker.write_text("")
    try:
        look = ray.remote(_sees)
        asked = {
            node["NodeManagerHostname"] + "/" + node["NodeID"][:6]: look.options(
                num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote(str(marker))
            for node in nodes
        }
        blind = [name for name, ref in asked.items() if not _answer(ref, name)]
    finally:
        marker.unlink()
    if blind:
        raise UniferumError(
            "root", root, must=f"be seen by every node, but not by {', '.join(blind)}", cure="give a shared folder"
        )


def _answer(ref: Any, node: str) -> bool:
    """What a node said; one that left meanwhile need not see anything."""
    import ray
    from ray.exceptions import RayError

    try:
        return bool(ray.get(ref, timeout=120))
    except RayError as error:
        log.warning("node %s could not be asked whether it sees the root: %s", node, type(error).__name__)
        return True


def _sees(path: str) -> bool:
    return Path(path).exists()
