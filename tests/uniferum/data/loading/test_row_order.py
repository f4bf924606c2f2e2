import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from uniferum.data.loading.row_order import RowOrder


@st.composite
def orders(draw: st.DrawFn) -> tuple[RowOrder, list[int], list[int], int, int, int]:
    volumes = draw(st.lists(st.integers(0, 8), min_size=1, max_size=60))
    copies = [draw(st.integers(0, 2)) if draw(st.booleans()) else 0 for _ in volumes]
    micro = draw(st.integers(1, 9))
    batch = micro * draw(st.integers(1, 4))
    longest = draw(st.integers(1, 6))
    seed = draw(st.integers(0, 100))
    order = RowOrder(volumes, copies, batch=batch, micro_batch=micro, tasks_per_volume=longest, seed=seed)
    return order, volumes, copies, batch, micro, longest


@given(orders())
@settings(deadline=None)
def test_every_epoch_has_every_row_once_and_every_micro_batch_its_size(made: tuple) -> None:
    order, volumes, copies, batch, micro, longest = made
    steps = -(-3 * len(order) // batch)
    groups = [[list(map(int, g)) for g in m] for step in range(steps) for m in order.step(step)]
    assert all(sum(map(len, m)) == micro for m in groups)
    rows = [row for m in groups for group in m for row in group]
    for epoch in range(len(rows) // len(order)):
        assert sorted(rows[epoch * len(order) : (epoch + 1) * len(order)]) == list(range(len(order)))
    for group in (g for m in groups for g in m):
        assert 1 <= len(group) <= longest
        assert len({(volumes[row], copies[row]) for row in group}) == 1


@given(orders(), st.integers(0, 20))
@settings(deadline=None)
def test_a_step_is_the_same_whatever_was_asked_before(made: tuple, step: int) -> None:
    order, volumes, copies, batch, micro, longest = made
    seed = order._seed
    fresh = RowOrder(volumes, copies, batch=batch, micro_batch=micro, tasks_per_volume=longest, seed=seed)
    for before in range(3):
        order.step(before)
    expected = fresh.step(step)
    got = order.step(step)
    assert [[g.tolist() for g in m] for m in got] == [[g.tolist() for g in m] for m in expected]


def test_epochs_and_seeds_differ() -> None:
    def first_epochs(seed: int) -> list[list[int]]:
        order = RowOrder(list(range(64)), [0] * 64, batch=64, micro_batch=8, tasks_per_volume=4, seed=seed)
        return [[int(r) for m in order.step(s) for g in m for r in g] for s in range(2)]

    a, b = first_epochs(0), first_epochs(1)
    assert a[0] != a[1]
    assert a[0] != b[0]


def test_groups_stay_whole_wherever_one_fits() -> None:
    # 200 volumes of 3, 4 or 10 rows: sizes 4, 3, 2 after cutting. Splitting at every border would give a quarter more.
    sizes = [3, 4, 10] * 66
    volumes = [v for v, size in enumerate(sizes) for _ in range(size)]
    whole = sum(-(-size // 4) for size in sizes)
    order = RowOrder(
        volumes, [0] * len(volumes), batch=len(volumes) // 8 * 8, micro_batch=8, tasks_per_volume=4, seed=0
    )
    groups = sum(len(micro) for micro in order.step(0))
    assert groups < 1.06 * whole


def test_a_step_far_into_a_large_table_is_found() -> None:
    random = np.random.default_rng(0)
    volumes = random.integers(0, 20_000, 100_000).tolist()
    order = RowOrder(volumes, [0] * 100_000, batch=64, micro_batch=8, tasks_per_volume=4, seed=5)
    assert sum(len(g) for m in order.step(1500) for g in m) == 64
