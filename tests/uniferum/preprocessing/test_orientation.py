"""Axes that contradict the anatomy are flagged with reason and probability; correct scans and small crops are not."""

import math
from functools import cache
from itertools import permutations, product

import numpy as np
import pytest

from tests.support.raw_scans import thorax, write_nifti
from uniferum.data.phantom.rendering import Rendered, render
from uniferum.data.phantom.spec import PhantomSpec
from uniferum.preprocessing import body, landmarks, organs, orientation
from uniferum.preprocessing.cues import Cue
from uniferum.preprocessing.formats.intensities import clip_in_place
from uniferum.preprocessing.formats.load import read_volume
from uniferum.preprocessing.formats.source import MaskSource, ScanSource
from uniferum.preprocessing.geometry import Geometry
from uniferum.preprocessing.orientation import Labels
from uniferum.preprocessing.pipeline import PreparationConfig, PreparedScan, prepare
from uniferum.preprocessing.volume import Volume

CONFIG = PreparationConfig(geometry=Geometry(spacing_mm=(8, 8, 8), model_shape=(24, 20, 16)))
HU, IDS = thorax()
SPACING = (6.0, 6.0, 6.0)
ORIENTATIONS = tuple(product(permutations(range(3)), product((1, -1), repeat=3)))
AS_IT_IS = ((0, 1, 2), (1, 1, 1))
# Every flip of the right order of axes, and one flip of every other order: all 48 are in tests/hard_data.
SOME = ORIENTATIONS[:8] + ORIENTATIONS[9::9]
MIRRORED = {"left_right": (-1, 1, 1), "front_back": (1, -1, 1), "head_foot": (1, 1, -1)}
WORDS = {"left_right": "left and right", "front_back": "front and back", "head_foot": "head and foot"}


@cache
def phantom(*findings: str) -> Rendered:
    return render(PhantomSpec(seed=3, findings=findings), (62, 43, 45), SPACING, noise_hu=20)


def turned(array, orientation_):
    """An array as a header that lies would have it: axes permuted, then flipped."""
    order, steps = orientation_
    return np.ascontiguousarray(array.transpose(order)[tuple(slice(None, None, step) for step in steps)])


def doubts(hu, spacing=SPACING, ids=None):
    affine = np.diag([*spacing, 1.0])
    labels = [] if ids is None else [Labels(ids, affine, (10, 11, 12, 13, 14), True)]
    return orientation.doubts(body.reduced(Volume(np.clip(hu, -1000, 1000), affine), 3.0), labels)


def prepared(tmp_path, hu, ids=None) -> PreparedScan:
    masks = ()
    if ids is not None:
        masks = (MaskSource("totalsegmentator", write_nifti(tmp_path / "mask.nii.gz", ids)),)
    return prepare(ScanSource("s", write_nifti(tmp_path / "scan.nii.gz", hu), masks=masks), CONFIG)


def flags(tmp_path, hu, ids=None):
    return prepared(tmp_path, hu, ids).flags


def coarse(array):
    """Every second voxel of the torso: blocks of 8 mm are enough to see its axes."""
    return np.ascontiguousarray(array[::2, ::2, ::2])


def test_a_sound_scan_is_not_doubted(tmp_path):
    assert "orientation_doubtful" not in flags(tmp_path, HU)
    assert "orientation_doubtful" not in flags(tmp_path, HU, IDS)


def test_a_scan_stored_back_to_front_is_doubted_for_its_spine(tmp_path):
    scan = prepared(tmp_path, HU[:, ::-1])
    assert "orientation_doubtful" in scan.flags
    (note,) = scan.notes
    assert "spine lies in the front half" in note
    assert note.endswith("front and back look exchanged, probability above 0.99")


def test_swapped_x_and_y_are_doubted():
    (note,) = doubts(coarse(HU).transpose(1, 0, 2), (8.0, 8.0, 10.0))
    assert "the header calls front to back" in note
    assert "permuted" in note


@pytest.mark.parametrize("axis", [0, 2])
def test_left_and_right_or_up_and_down_are_doubted_for_the_organs(axis):
    hu, ids = coarse(HU), coarse(IDS)
    assert doubts(hu, (8.0, 8.0, 10.0), ids) == []
    assert doubts(np.flip(hu, axis=axis), (8.0, 8.0, 10.0), np.ascontiguousarray(np.flip(ids, axis=axis)))


def test_a_cut_field_of_view_does_not_switch_the_check_off(tmp_path):
    crop = HU[12:-12, 4:-4]
    sound = flags(tmp_path, crop)
    assert "field_of_view_cut" in sound
    assert "orientation_doubtful" not in sound
    assert "orientation_doubtful" in flags(tmp_path, crop[:, ::-1])


def test_of_all_ways_to_lie_only_the_right_one_is_not_doubted_without_a_mask():
    hu = phantom().volume.hu
    undoubted = [how for how in SOME if not doubts(turned(hu, how))]
    assert undoubted == [AS_IT_IS]


@pytest.mark.parametrize("question", MIRRORED)
def test_a_mirrored_phantom_is_doubted_for_what_is_mirrored_alone(question):
    (note,) = doubts(turned(phantom().volume.hu, ((0, 1, 2), MIRRORED[question])))
    assert f"{WORDS[question]} look exchanged, probability" in note


@pytest.mark.parametrize("findings", [("pleural_effusion",), ("cardiomegaly",), ("lung_resection",), ("emphysema",)])
def test_illness_alone_is_no_reason_to_doubt(findings):
    assert doubts(phantom(*findings).volume.hu) == []


@pytest.mark.parametrize("part", ["half a thorax", "a limb", "air"])
def test_too_little_to_see_gives_no_verdict_however_it_lies(part):
    hu = phantom().volume.hu
    if part == "half a thorax":
        hu = hu[: hu.shape[0] // 2 - 2]
    elif part == "a limb":
        x, y, _ = np.indices((40, 40, 40)) - 19.5
        hu = np.select([x**2 + (y - 4) ** 2 < 9, x**2 + y**2 < 200], [900, 40], -1000).astype(np.int16)
    else:
        hu = np.full((20, 20, 20), -1000, np.int16)
    assert all(doubts(turned(hu, how)) == [] for how in ORIENTATIONS[::16])


def test_a_mask_of_organs_answers_where_the_voxels_do_not():
    """The scan is uniform tissue: whatever is doubted is doubted for the organs of its mask."""
    ids = coarse(phantom().masks["totalsegmentator"])
    flat = np.full(ids.shape, 40, np.int16)
    affine = np.diag([*(2 * mm for mm in SPACING), 1.0])
    small = Volume(flat, affine)
    undoubted = [
        how
        for how in SOME
        if not orientation.doubts(
            Volume(turned(flat, how), affine), [Labels(turned(ids, how), affine, (), organs=True)]
        )
    ]
    assert undoubted == [AS_IT_IS]
    assert orientation.doubts(small, []) == []


def test_vertebrae_that_count_downwards_speak_against_the_header():
    ids = np.zeros((10, 10, 60), np.uint8)
    for index, number in enumerate(range(32, 44)):
        ids[3:7, 3:7, 5 * index : 5 * index + 4] = number
    spacing = np.array(SPACING)
    up, down = (
        {cue.question: cue.log_odds for cue in organs.of_mask(array, spacing)} for array in (ids, ids[:, :, ::-1])
    )
    assert up["head_foot"] > 3
    assert down["head_foot"] == -up["head_foot"]
    assert up["axes"] == down["axes"] > 3


def test_mirrored_measures_are_opposite():
    """What a mirror shows is the opposite evidence: nothing prefers one side by itself."""
    small = phantom().volume
    mirrored = Volume(np.ascontiguousarray(small.hu[::-1]), small.affine)
    one, other = (landmarks.look(volume, landmarks.coarse(volume)) for volume in (small, mirrored))
    assert one is not None
    assert other is not None
    assert one.sides_ml() == pytest.approx(other.sides_ml()[::-1], rel=0.05)
    assert one.sides_ml()[0] < one.sides_ml()[1]


class TestVerdict:
    def test_log_odds_add_up_to_a_probability(self):
        evidence = [Cue("left_right", -2.0, "a"), Cue("left_right", -2.5, "b"), Cue("left_right", 1.0, "c")]
        wrong = 1 / (1 + math.exp(-3.5))
        assert orientation.verdict(evidence) == [f"b and a: left and right look exchanged, probability {wrong:.2f}"]

    def test_doubt_begins_at_its_threshold(self):
        edge = math.log(orientation.DOUBTFUL / (1 - orientation.DOUBTFUL))
        assert orientation.verdict([Cue("head_foot", -edge + 0.01, "a")]) == []
        assert orientation.verdict([Cue("head_foot", -edge - 0.01, "a")]) != []

    def test_permuted_axes_leave_nothing_to_say_about_the_others(self):
        notes = orientation.verdict([Cue("front_back", -9, "a"), Cue("axes", -9, "b")])
        assert notes == ["b: the axes look permuted, probability above 0.99"]

    def test_no_evidence_is_no_doubt(self):
        assert orientation.verdict([]) == []


@pytest.mark.integration
@pytest.mark.parametrize(
    ("name", "first", "last"),
    [("thorax_3", (1, 1, 24), (101, 98, 59)), ("thorax_3", (1, 46, 13), (88, 123, 57))],
)
def test_a_real_thorax_whose_lung_is_cut_at_a_side_and_an_end_is_not_doubted(realdata, name, first, last):
    """The cut lung lost its rim there and looked whole: the left one seemed the larger, the heart to lean right."""
    volume = read_volume(ScanSource(name, realdata / "thorax" / f"{name}.nii.gz"))
    part = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    assert doubts(np.ascontiguousarray(volume.hu[part]), volume.spacing_mm) == []


@pytest.mark.integration
@pytest.mark.parametrize("name", ["thorax_1", "thorax_2", "thorax_3"])
def test_each_way_of_turning_a_real_thorax_is_doubted_and_the_thorax_is_not(realdata, name):
    volume = read_volume(ScanSource(name, realdata / "thorax" / f"{name}.nii.gz"))
    clip_in_place(volume.hu, -1000, 1000)
    assert doubts(volume.hu, volume.spacing_mm) == []
    for how in (((0, 1, 2), MIRRORED["left_right"]), ((0, 1, 2), MIRRORED["head_foot"]), ((2, 1, 0), (1, 1, 1))):
        assert doubts(turned(volume.hu, how), volume.spacing_mm), how
