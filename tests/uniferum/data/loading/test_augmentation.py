import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from monai.transforms import Rotate

from uniferum.config import parse
from uniferum.data.loading.augmentation import AugmentationConfig, Draw, draw, draw_for
from uniferum.data.loading.resample import resample_image
from uniferum.errors import UniferumError
from uniferum.evaluation.config import STRENGTHS, Strength
from uniferum.preprocessing.geometry import Geometry


def draws(config: AugmentationConfig, count: int = 4000) -> list[Draw]:
    return [draw(config, seed=3, step=number // 16, slot=number % 16) for number in range(count)]


@given(st.integers(0, 2**70), st.integers(0, 10**6), st.integers(0, 1000))
def test_a_draw_depends_on_seed_step_and_slot_only(seed: int, step: int, slot: int) -> None:
    config = AugmentationConfig()
    assert draw(config, seed=seed, step=step, slot=slot) == draw(config, seed=seed, step=step, slot=slot)


def test_steps_and_slots_and_seeds_have_draws_of_their_own() -> None:
    config = AugmentationConfig(probability=1.0)
    draws = [(seed, step, slot) for seed in range(3) for step in range(10) for slot in range(10)]
    assert len({draw(config, seed=a, step=b, slot=c).zoom for a, b, c in draws}) == len(draws)


def test_each_of_the_four_happens_half_of_the_time_within_its_limits() -> None:
    drawn = draws(AugmentationConfig())
    happened = np.array([[any(d.angles_deg), d.zoom != 1, d.noise_std > 0, d.offset != 0] for d in drawn])
    np.testing.assert_allclose(happened.mean(0), 0.5, atol=0.04)  # five standard errors of 4,000 draws
    np.testing.assert_allclose(np.corrcoef(happened.T), np.eye(4), atol=0.08)
    angles = np.array([d.angles_deg for d in drawn])
    values = {
        15.0: np.abs(angles).max(),
        0.1: max(abs(d.zoom - 1) for d in drawn),
        0.01: max(max(d.noise_std, abs(d.offset)) for d in drawn),
    }
    for limit, largest in values.items():
        assert 0.98 * limit < largest <= limit * (1 + 1e-12)
    turned = angles[np.any(angles != 0, axis=1)]
    np.testing.assert_allclose(turned.std(0), 15 / np.sqrt(3), rtol=0.06)


def test_probability_nought_leaves_everything_as_it_is() -> None:
    drawn = draws(AugmentationConfig(probability=0.0), 100)
    assert not any(d.moves or d.noise_std or d.offset for d in drawn)


@pytest.mark.parametrize("angles", [(12.0, 0.0, 0.0), (0.0, -9.0, 0.0), (0.0, 0.0, 14.0), (7.0, -11.0, 13.0)])
def test_rotation_turns_as_monai_turns(angles: tuple[float, float, float]) -> None:
    geometry = Geometry(box_mm=(48, 40, 32), crop_mm=(48, 40, 32), model_shape=(48, 40, 32))
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in (48, 40, 32)), indexing="ij"))
    source = (800 * np.sin(3 * grid[0] + grid[1]) * np.cos(2 * grid[1] - 4 * grid[2])).astype(np.int16)
    rotate = Rotate(angle=np.radians(angles).tolist(), keep_size=True, padding_mode="border", dtype=np.float64)
    expected = np.asarray(rotate(source[None].astype(np.float64))[0]) / 2000 + 0.5
    got = resample_image(source, Draw(angles_deg=angles).source_from_output(), geometry, level="full")
    np.testing.assert_allclose(got, expected, atol=2e-5)


def test_an_unknown_key_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UniferumError, match="rotation_deg"):
        parse(AugmentationConfig, {"rotation": 15}, source="a.yaml")


@given(st.sampled_from(sorted(STRENGTHS)), st.integers(0, 2**40), st.text(max_size=20), st.integers(1, 64))
def test_a_test_volume_is_turned_and_scaled_but_never_flipped(
    strength: Strength, seed: int, volume_id: str, copy: int
) -> None:
    config = STRENGTHS[strength]
    drawn = draw_for(config, seed=seed, volume_id=volume_id, copy=copy)
    matrix = drawn.source_from_output()
    assert np.linalg.det(matrix) == pytest.approx(drawn.zoom**-3)
    assert np.linalg.det(matrix) > 0
    assert np.all(np.diag(matrix) > 0.8)  # each axis still points its own way
    assert np.allclose(matrix @ matrix.T, np.eye(3) / drawn.zoom**2)
    assert max(map(abs, drawn.angles_deg)) <= config.rotation_deg
    assert drawn == draw_for(config, seed=seed, volume_id=volume_id, copy=copy)


def test_test_volumes_passes_and_seeds_have_draws_of_their_own_and_no_strength_moves_nothing() -> None:
    keys = [(seed, volume, copy) for seed in range(3) for volume in ("A/1", "A/2") for copy in range(1, 4)]
    zooms = {draw_for(STRENGTHS["small"], seed=a, volume_id=b, copy=c).zoom for a, b, c in keys}
    assert len(zooms) == len(keys)
    drawn = [draw_for(STRENGTHS["none"], seed=a, volume_id=b, copy=c) for a, b, c in keys]
    assert not any(one.moves or one.noise_std or one.offset for one in drawn)
