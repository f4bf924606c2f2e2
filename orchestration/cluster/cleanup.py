"""Release orphaned placement groups: those of Ray Train runs whose caller was killed.

Ray Train removes a placement group through an actor that asks the dashboard. Without a dashboard, a killed ``fit()``
caller leaves its CPUs and GPUs reserved until the Ray job ends. So each worker writes the id of its placement group
beside its process id, and the driver that holds the grid's lease removes exactly these: those of worker groups that
ended, and those of earlier drivers. Other placement groups of the cluster are not touched.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

from orchestration.grid.records import read_json

log = logging.getLogger(__name__)

CARD = "worker.json"


def own_placement_group() -> str | None:
    """The id of the placement group in which this worker runs; None outside Ray."""
    import ray
    from ray.util.placement_group import get_current_placement_group

    group = get_current_placement_group() if ray.is_initialized() else None
    return group.id.hex() if group is not None else None


def release_placement_groups(folders: Iterable[Path]) -> list[str]:
    """Remove the placement groups of worker groups that no driver uses any more.

    Args:
        folders: the folders of these worker groups.

    Returns:
        The names of the worker groups that still had resources reserved.
    """
    cards = {folder: read_json(folder / CARD) or {} for folder in folders}
    ids = {folder: str(card["placement_group"]) for folder, card in cards.items() if card.get("placement_group")}
    existing = _existing() if ids else set()
    orphaned = {folder: group for folder, group in ids.items() if group in existing}
    for folder, group in orphaned.items():
        _remove(group)
        log.info("released the resources of %s", folder.name)
    return [folder.name for folder in orphaned]


def _existing() -> set[str]:
    """The ids of the cluster's placement groups that hold or wait for resources."""
    import ray

    return {group for group, facts in ray.util.placement_group_table().items() if facts["state"] != "REMOVED"}


def _remove(group: str) -> None:
    import ray
    from ray.util.placement_group import PlacementGroup, remove_placement_group

    remove_placement_group(PlacementGroup(ray.PlacementGroupID.from_hex(group)))
