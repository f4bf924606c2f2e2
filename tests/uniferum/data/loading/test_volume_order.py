"""Batches that count volumes: every micro-batch has the same number, and an epoch has every row once."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from uniferum.data.loading.volume_order import VolumeOrder


@given(
    volumes=st.lists(st.integers(0, 8), min_size=1, max_size=60),
    micro=st.integers(1, 5),
    micro_batches=st.integers(1, 4),
    longest=st.integers(1, 6),
    seed=st.integers(0, 100),
)
@settings(deadline=None, max_examples=60)
def test_every_micro_batch_has_as_many_volumes_and_an_epoch_every_row_once(
    volumes: list[int], micro: int, micro_batches: int, longest: int, seed: int
) -> None:
    order = VolumeOrder(
        volumes, [0] * len(volumes), batch=micro * micro_batches, micro_batch=micro, tasks_per_volume=longest, seed=seed
    )
    groups_an_epoch = sum(-(-volumes.count(volume) // longest) for volume in set(volumes))
    seen: list[np.ndarray] = []
    for step in range(-(-groups_an_epoch // (micro * micro_batches))):
        rows = order.step(step)
        assert [len(groups) for groups in rows] == [micro] * micro_batches
        seen += [group for groups in rows for group in groups]
    for group in seen:
        assert len({volumes[row] for row in group}) == 1
        assert 1 <= len(group) <= longest
    epoch = np.concatenate(seen[:groups_an_epoch])
    assert sorted(epoch.tolist()) == list(range(len(volumes)))


def test_a_step_is_the_same_whoever_asks_first_and_another_for_another_seed() -> None:
    volumes = [number // 3 for number in range(90)]

    def order(seed: int) -> VolumeOrder:
        return VolumeOrder(volumes, [0] * 90, batch=8, micro_batch=4, tasks_per_volume=3, seed=seed)

    late = order(1).step(5)
    again = order(1)
    for step in range(5):
        again.step(step)
    assert [[g.tolist() for g in m] for m in again.step(5)] == [[g.tolist() for g in m] for m in late]
    assert [[g.tolist() for g in m] for m in order(2).step(5)] != [[g.tolist() for g in m] for m in late]


def test_copies_of_a_repeated_task_are_encoded_apart() -> None:
    order = VolumeOrder(["v"] * 4, [0, 1, 2, 2], batch=3, micro_batch=3, tasks_per_volume=4, seed=0)
    assert sorted(sorted(group.tolist()) for group in order.step(0)[0]) == [[0], [1], [2, 3]]
