"""Every real volume in every sound and wrong form: which are flagged, as a table, and how near the limits they come."""

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from tests.support.intensity_forms import int16, sound, wrong
from uniferum.data.phantom.acquisition import draw_acquisition
from uniferum.data.phantom.cases import draw_case
from uniferum.preprocessing import hu_check
from uniferum.preprocessing.formats.load import read_volume
from uniferum.preprocessing.formats.source import ScanSource
from uniferum.preprocessing.histogram import Histogram, histogram_of, without_far_padding, without_near_padding

pytestmark = pytest.mark.hard_data
FINE = 400
"""Of a volume of more columns every second row and column is enough to judge its values by."""


@pytest.fixture(scope="module")
def volumes(realdata: Path) -> dict[str, np.ndarray]:
    with (realdata / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    read = {row["scan_id"]: read_volume(ScanSource(row["scan_id"], realdata / row["path"])).hu for row in rows}
    return {scan: hu[::2, ::2] if hu.shape[0] > FINE else hu for scan, hu in read.items()}


def is_wrong(hu: np.ndarray) -> bool:
    return "wrong_hu" in hu_check.check_hu(np.ascontiguousarray(hu))[0]


def table(results: dict[str, dict[str, bool]], wanted: bool) -> list[str]:
    """Print one line a form: how many of the volumes are flagged, and which break the rule, which also come back."""
    broken = []
    for form, by_scan in results.items():
        odd = [scan for scan, flagged in by_scan.items() if flagged != wanted]
        broken += [f"{form}: {scan}" for scan in odd]
        print(f"{form:58} {sum(by_scan.values()):3} of {len(by_scan)}  {' '.join(odd)}")  # noqa: T201
    return broken


def test_every_wrong_form_of_every_real_volume_is_flagged(volumes):
    flagged = defaultdict(dict)
    for scan, hu in volumes.items():
        for form, values in wrong(hu):
            flagged[form if not form.startswith("scaled -3") else "scaled min, max"][scan] = is_wrong(values)
    print("\nwrong form: flagged")  # noqa: T201
    assert table(flagged, wanted=True) == []


def test_no_sound_form_of_any_real_volume_is_flagged(volumes):
    flagged = defaultdict(dict)
    for scan, hu in volumes.items():
        for form, values in sound(hu):
            flagged[form][scan] = is_wrong(values)
    print("\nsound form: flagged in vain")  # noqa: T201
    assert table(flagged, wanted=False) == []


def test_no_crop_of_three_fifths_of_a_real_volume_along_each_axis_is_flagged(volumes):
    rng = np.random.default_rng(0)
    for scan, hu in volumes.items():
        size = [max(4, round(0.6 * n)) for n in hu.shape]
        for _ in range(60):
            first = [int(rng.integers(0, n - m + 1)) for n, m in zip(hu.shape, size, strict=True)]
            part = tuple(slice(f, f + m) for f, m in zip(first, size, strict=True))
            assert not is_wrong(hu[part]), (scan, first)


def test_which_offsets_and_scales_are_flagged(volumes):
    """A table for the record; what must hold is far from where it fades."""
    for offset in (-1000, -500, -300, -200, -100, 100, 200, 300, 500, 1000):
        count = sum(is_wrong(int16(hu.astype(np.float32) + offset)) for hu in volumes.values())
        print(f"offset {offset:6}: {count} of {len(volumes)}")  # noqa: T201
        assert count == len(volumes) or abs(offset) < 300
    for scale in (0.25, 0.5, 0.6, 0.7, 1.5, 2, 2.5, 3, 4):
        count = sum(is_wrong(int16(hu * np.float32(scale))) for hu in volumes.values())
        print(f"scale {scale:5}: {count} of {len(volumes)}")  # noqa: T201
        assert count == len(volumes) or 0.5 < scale < 3


@pytest.mark.parametrize("cohort", ["CTRATE", "INSPECT", "RADCHEST", "LUNA16"])
def test_forty_phantoms_of_each_cohort_are_sound_and_their_offsets_are_not(cohort):
    for number in range(40):
        hu = draw_acquisition(0, cohort, number, 4.5).scan(draw_case(0, cohort, number).spec).volume.hu
        assert not is_wrong(hu), number
        for offset in (1024, -1024, 8192, -8192):
            assert is_wrong(hu + np.int16(offset)), (number, offset)


def test_how_near_sound_volumes_come_to_the_limits(volumes):
    """Prints the figures called "seen" beside the limits in ``hu_check``."""
    seen = defaultdict(list)
    for scan, hu in volumes.items():
        for form, values in sound(hu):
            whole, corners = histogram_of(np.ascontiguousarray(values))
            within = without_far_padding(whole, hu_check.AIR_HU, hu_check.METAL_HU)
            for measure, value in measures(without_near_padding(within, corners)).items():
                seen[measure].append((value, scan, form))
    for measure, values in seen.items():
        worst = sorted(values, key=lambda item: item[0], reverse=measure.startswith("most"))[:3]
        print(measure, [(round(value, 3), scan, form) for value, scan, form in worst])  # noqa: T201
    assert min(seen["least soft of tissue"])[0] > hu_check.SOFT_SHARE
    assert max(seen["most dense of tissue"])[0] < hu_check.DENSE_SHARE


def measures(scan: Histogram) -> dict[str, float]:
    tissue = (hu_check.TISSUE_HU, 32768)
    thin = scan.share(*hu_check.THIN_HU) > hu_check.THIN_SHARE
    return {
        "least soft of tissue": scan.share(*hu_check.SOFT_HU, of=tissue),
        "least soft of all": scan.share(*hu_check.SOFT_HU),
        "least of air or fat": max(scan.share(*hu_check.LIGHT_HU), scan.share(*hu_check.FAT_HU)),
        "least light of thin": scan.share(*hu_check.LIGHT_HU, of=hu_check.THIN_HU) if thin else 1.0,
        "most valley of body": scan.share(*hu_check.VALLEY_HU) / max(1e-6, scan.share(*hu_check.BODY_HU)),
        "least extent": scan.quantile(0.999) - scan.quantile(0.001),
        "most dense of tissue": scan.share(hu_check.DENSE_HU, 32768, of=tissue),
        "most compact bone": scan.share(*hu_check.COMPACT_HU),
        "most below": scan.share(-32768, hu_check.AIR_HU),
        "most above": scan.share(hu_check.METAL_HU, 32768),
    }
