"""The check of HU: volumes whose values are not HU are flagged, by where air, fat, tissue and bone lie."""

import numpy as np
import pytest

from tests.support.intensity_forms import outside_circle, padded, scaled, sound, wrong
from tests.support.raw_scans import thorax, write_nifti
from uniferum.data.phantom.acquisition import draw_acquisition
from uniferum.data.phantom.cases import draw_case
from uniferum.preprocessing.formats.load import read_volume
from uniferum.preprocessing.formats.source import Intensity, ScanSource
from uniferum.preprocessing.hu_check import check_hu
from uniferum.preprocessing.volume import Volume

NOISY = thorax(noise=15)[0][:, :, ::2]
CONSTANTS = thorax()[0].copy()
CONSTANTS[CONSTANTS == -100] = 40  # a drawn torso without fat
HALF = CONSTANTS[:, :, ::2]


def flags(hu: np.ndarray, known_clip: tuple[float, float] | None = None) -> tuple[str, ...]:
    return check_hu(np.ascontiguousarray(hu), known_clip=known_clip)[0]


def read(folder, array: np.ndarray, **more) -> Volume:
    return read_volume(ScanSource("s", write_nifti(folder / "scan.nii.gz", array), **more))


def test_no_sound_form_of_a_thorax_is_flagged():
    assert [name for name, hu in sound(NOISY) if "wrong_hu" in flags(hu)] == []


def test_every_wrong_form_of_a_thorax_is_flagged():
    assert [name for name, hu in wrong(NOISY) if flags(hu) != ("wrong_hu",)] == []


@pytest.mark.parametrize("padding", [None, -3024, -2000, 0, 32767])
def test_a_drawn_torso_of_a_few_constants_is_sound_and_its_offsets_are_not(padding):
    for offset, wanted in ((0, False), (1024, True), (-1024, True), (8192, True), (-8192, True)):
        values = (HALF + offset).astype(np.int16)
        if padding is not None:
            values = padded(values, padding)
        assert ("wrong_hu" in flags(values)) == wanted, offset


@pytest.mark.parametrize("cohort", ["CTRATE", "INSPECT", "RADCHEST", "LUNA16"])
def test_phantoms_are_sound_and_windows_of_them_are_not(cohort):
    hu = draw_acquisition(0, cohort, 3, 6.0).scan(draw_case(0, cohort, 3).spec).volume.hu
    assert flags(hu) == ()
    assert flags(hu.clip(-1000, 1000), (-1000, 1000)) == ()
    for low, high in ((-160, 240), (-1350, 150)):
        assert flags(hu.clip(low, high), (-1000, 1000)) == ("wrong_hu",)


@pytest.mark.parametrize("high", [150, 240])
def test_a_window_cut_out_of_a_drawn_torso_is_flagged_at_its_upper_end(high):
    """Its lowest tissue is air, but nothing in it is as dense as bone."""
    for low in (-1350, -1000):
        assert flags(HALF.clip(low, high)) == ("wrong_hu",)


def test_noise_below_air_that_was_not_clipped_is_no_fault_but_an_offset_below_air_is():
    noisy = (NOISY + np.random.default_rng(0).normal(0, 120, NOISY.shape)).astype(np.int16)
    assert flags(noisy) == ()
    for offset in (-1024, -500):
        assert flags((noisy + offset).astype(np.int16)) == ("wrong_hu",)


def test_a_known_clip_is_no_fault_but_an_offset_within_it_is():
    narrow = NOISY.clip(-600, 300)
    assert flags(narrow) == ("wrong_hu",)
    assert flags(narrow, (-600, 300)) == ()
    assert flags((NOISY + 1024).clip(-1000, 1000), (-1000, 1000)) == ("wrong_hu",)


@pytest.mark.parametrize("kind", [np.inf, -np.inf])
@pytest.mark.parametrize("share", [1e-5, 0.3])
def test_infinite_values_are_flagged_and_counted(tmp_path, kind, share):
    values = NOISY.astype(np.float32)
    count = max(1, round(share * values.size))
    values.ravel()[np.random.default_rng(0).choice(values.size, count, replace=False)] = kind
    volume = read(tmp_path, values)
    assert "wrong_hu" in volume.flags
    assert any(note.startswith(f"{count} voxels") and "infinite" in note for note in volume.notes)


def test_nan_outside_the_field_of_view_is_no_wrong_hu_and_counted(tmp_path):
    values = NOISY.astype(np.float32)
    outside = np.broadcast_to(outside_circle(values.shape)[..., None], values.shape)
    values[outside] = np.nan
    volume = read(tmp_path, values)
    assert volume.flags == ("nan_voxels",)
    assert volume.notes[0].startswith(f"{outside.sum()} voxels")


def test_nan_around_scaled_values_hides_them_not(tmp_path):
    values = scaled(NOISY, -1000, 1000, (0, 255))
    values[outside_circle(values.shape)] = np.nan
    assert "wrong_hu" in read(tmp_path, values).flags


@pytest.mark.parametrize(
    ("slope", "intercept", "said"),
    [
        (1, 1024, "HU + 1024"),
        (1, -1024, "HU - 1024"),
        (1, 8192, "HU + 8192"),
        (1, -8192, "HU - 8192"),
        (10, 0, "10 x HU"),
        (-1, 0, "sign reversed"),
    ],
)
def test_the_note_names_the_likely_cause_and_the_remedy(tmp_path, slope, intercept, said):
    volume = read(tmp_path, NOISY, intensity=Intensity(slope, intercept))
    assert volume.flags == ("wrong_hu",)
    (note,) = volume.notes
    assert said in note
    assert "slope and intercept" in note


def test_a_small_or_no_known_fault_is_given_no_cause():
    _, notes = check_hu(scaled(NOISY, -160, 240, (0, 255)).astype(np.int16))
    assert "look like HU +" not in notes[0]
    assert "span only" in notes[0]


@pytest.mark.parametrize("value", [-1000, 0, 40, -3024, 32767])
def test_a_constant_volume_is_flagged(value):
    flags, notes = check_hu(np.full((8, 8, 8), value, np.int16))
    assert flags == ("wrong_hu",)
    assert "one value" in notes[0]


@pytest.mark.parametrize("padding", [0, 32767])
def test_padding_that_is_not_air_is_flagged(padding):
    flags, notes = check_hu(padded(NOISY, padding))
    assert flags == ("padding_not_air",)
    share = outside_circle(NOISY.shape).mean()
    assert notes[0].startswith(f"{share:.1%} of the voxels hold {padding},")


def test_the_order_of_the_axes_and_of_memory_does_not_matter():
    for hu in (NOISY, (NOISY + 1024).astype(np.int16)):
        answers = {check_hu(h) for h in (hu, np.asfortranarray(hu), hu.transpose(2, 0, 1)[::-1])}
        assert len(answers) == 1


@pytest.mark.integration
def test_two_real_volumes_are_sound_and_their_seven_wrong_forms_are_not(realdata):
    for path in ("thorax/thorax_1.nii.gz", "totalsegmentator/heart_crop.nii.gz"):
        hu = read_volume(ScanSource("s", realdata / path)).hu[:, :, ::4]
        assert flags(hu) == (), path
        assert [name for name, form in wrong(hu) if flags(form) != ("wrong_hu",)] == [], path
