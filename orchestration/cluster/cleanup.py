"""Gives back what killed lanes reserved: the placement group of a Ray Train run whose caller is gone.

Ray Train removes it through an actor that asks the dashboard; without a dashboard a killed ``fit()`` caller leaves its
CPUs and GPUs reserved until the job ends. So each worker notes the group it runs in beside its process id, and whoever
holds the grid's lease removes exactly these groups: those of lanes that ended, and those of earlier drivers. What
others made on the same cluster is never looked at.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

from orchestration.grid.records import read_json

log = logging.getLogger(__name__)

CARD = "worker.json"


def own_placement_group() -> str | None:
    """The placement group that this worker runs in; None outside Ray."""
    import ray
    from ray.util.placement_group import get_current_placement_group

    group = get_current_placement_group() if ray.is_initialized() else None
    return group.id.hex() if group is not None else None


def reap(lanes: Iterable[Path]) -> list[str]:
    """Remove the placement groups that these lanes noted and that still hold something.

    Args:
        lanes: folders of lanes that nobody drives any more.

    Returns:
        The lanes whose resources were given back.
    """
    cards = {lane: read_json(lane / CARD) or {} for lane in lanes}
    noted = {lane: str(card["placement_group"]) for lane, card in cards.items() if card.get("placement_group")}
    held = _held() if noted else set()
    found = {lane: group for lane, group in noted.items() if group in held}
    for lane, group in found.items():
        _remove(group)
        log.info("gave back what %s had reserved", lane.name)
    return [lane.name for lane in found]


def _held() -> set[str]:
    """Placement groups of the cluster that hold or wait for resources."""
    import ray

    return {group for group, facts in ray.util.placement_group_table().items() if facts["state"] != "REMOVED"}


def _remove(group: str) -> None:
    import ray
    from ray.util.placement_group import PlacementGroup, remove_placement_group

    remove_placement_group(PlacementGroup(ray.PlacementGroupID.from_hex(group)))
