"""Check a grid's root before the start: it can be written, every node sees it, and it has enough free space."""

import logging
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestration.grid.config import GridConfig
from orchestration.grid.planned import PlannedCell
from orchestration.grid.states import TO_TRAIN
from uniferum.errors import StateError

log = logging.getLogger(__name__)


def check_root(root: Path) -> None:
    """Check that the root can be written, by writing and removing a file.

    Raises:
        StateError: the folder cannot be created or written.
    """
    probe = root / f".probe-{uuid.uuid4().hex}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        cure = "Make it writable, or set another root."
        raise StateError(f"The root {root} cannot be written ({error})", cure=cure) from None


def check_space(grid: GridConfig, planned: Sequence[PlannedCell]) -> None:
    """Check the free space: two checkpoints (last and best) for each cell to train, and ``policy.free_gib``.

    Raises:
        StateError: there is too little; names the needed and the free space.
    """
    cells = sum(p.state in TO_TRAIN for p in planned)
    needed = 2 * grid.resources.checkpoint_gib * cells + grid.policy.free_gib if cells else 0.0
    free = free_gib(grid.root)
    if free < needed:
        raise StateError(
            f"The root {grid.root} has {free:.1f} GiB free; {cells} cells of two checkpoints need {needed:.1f} GiB",
            cure="Free some space, set another root, or lower resources.checkpoint_gib or policy.free_gib.",
        )


def free_gib(folder: Path) -> float:
    """The free space in GiB where the folder is or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / 2**30


def check_seen_everywhere(root: Path) -> None:
    """Check that every living node of the cluster sees a file that this process writes.

    Raises:
        StateError: some nodes do not see it; names them.
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
        raise StateError(
            f"These nodes do not see the root {root}: {', '.join(blind)}", cure="Set root to a shared folder."
        )


def _answer(ref: Any, node: str) -> bool:
    """The answer of a node; True if the node has left the cluster."""
    import ray
    from ray.exceptions import RayError

    try:
        return bool(ray.get(ref, timeout=120))
    except RayError as error:
        log.warning("could not check whether node %s sees the root: %s", node, type(error).__name__)
        return True


def _sees(path: str) -> bool:
    return Path(path).exists()
