"""Orphaned placement groups: only those that a worker of this grid recorded and that still exist are removed."""

import json
from pathlib import Path

import pytest

from orchestration.cluster import cleanup


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The groups removed from a cluster that has ``held``, ``waiting`` and a stranger's group."""
    groups: list[str] = []
    monkeypatch.setattr(cleanup, "_existing", lambda: {"held", "waiting", "stranger"} - set(groups))
    monkeypatch.setattr(cleanup, "_remove", groups.append)
    return groups


def worker_group(root: Path, name: str, card: object = None) -> Path:
    folder = root / name
    folder.mkdir()
    if card is not None:
        (folder / cleanup.CARD).write_text(json.dumps(card))
    return folder


def test_only_recorded_groups_that_still_exist_are_removed(tmp_path: Path, removed: list[str]) -> None:
    folders = [
        worker_group(tmp_path, "one", {"pid": 1, "placement_group": "held"}),
        worker_group(tmp_path, "two", {"pid": 2, "placement_group": "waiting"}),
        worker_group(tmp_path, "ended", {"pid": 3, "placement_group": "no longer there"}),
        worker_group(tmp_path, "without Ray", {"pid": 4, "placement_group": None}),
        worker_group(tmp_path, "not started"),
    ]
    assert cleanup.release_placement_groups(folders) == ["one", "two"]
    assert removed == ["held", "waiting"]
    assert cleanup.release_placement_groups(folders) == [], "a second call finds nothing to remove"
    assert removed == ["held", "waiting"]


def test_the_cluster_is_not_asked_when_no_worker_recorded_a_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unexpected() -> set[str]:
        raise AssertionError("Ray was asked for its placement groups")

    monkeypatch.setattr(cleanup, "_existing", unexpected)
    assert cleanup.release_placement_groups([worker_group(tmp_path, "not started")]) == []
    assert cleanup.release_placement_groups([]) == []
