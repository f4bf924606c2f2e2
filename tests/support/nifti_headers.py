"""Random NIfTI files, sound and with faults, and whether our reader agrees with nibabel on each."""

import gzip
import logging
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from uniferum.errors import UniferumError
from uniferum.preprocessing.affines import check_affine
from uniferum.preprocessing.formats.nifti import read_nifti

# 4,000 headers with codes of every kind; 77 and 3 are no codes at all.
CODES = (2, 4, 8, 16, 64, 256, 512, 768, 1024, 1280)
ODD_CODES = (0, 1, 3, 32, 77, 128, 1536, 1792, 2048, 2304, -4)
Draw = np.random.Generator


def agreement(folder: Path, seed: int, count: int) -> Counter[str]:
    """Outcomes of ``count`` random files: ``equal``, ``refused: ...``; asserts that there is no other one."""
    draw, outcomes = np.random.default_rng(seed), Counter[str]()
    for number in range(count):
        path = random_file(folder, draw)
        outcomes[_outcome(path, f"seed {seed}, file {number}")] += 1
        path.unlink()
    return outcomes


def random_file(folder: Path, draw: Draw) -> Path:
    """One file: a third are sound, the others have one or two faults or oddities."""
    kind: Any = nibabel.Nifti2Header if draw.random() < 0.3 else nibabel.Nifti1Header
    header = kind(endianness=draw.choice(["<", ">"]), check=False)
    shape = [int(n) for n in draw.integers(2, 7, 3)]
    header["dim"][:4] = [3, *shape]
    header["dim"][4:] = 1
    header["datatype"] = draw.choice(CODES)
    header["pixdim"][1:4] = draw.uniform(0.4, 5, 3).astype(np.float32)
    header["pixdim"][0] = draw.choice([1, -1])
    header["magic"] = b"n+2" if kind is nibabel.Nifti2Header else b"n+1"
    header["vox_offset"] = int(header["sizeof_hdr"]) + 4
    header["xyzt_units"] = draw.choice([0, 2, 10])
    _position(header, draw)
    names = list(FAULTS)
    file = {"extension": b"\0\0\0\0", "cut": 0, "behind": b""}
    for name in draw.choice(names, size=draw.choice([0, 1, 2]), replace=False):
        FAULTS[name](header, draw, file)
    return _write(folder, header, file, draw)


def _position(header: Any, draw: Draw) -> None:
    """Random codes; a random rotation as qform, and a sform that agrees with it."""
    header["qform_code"], header["sform_code"] = (int(code) for code in draw.choice([0, 1, 2, 3, 4, 5], 2))
    rotation = _rotation(draw) if draw.random() < 0.5 else np.eye(3)[draw.permutation(3)]
    rotation *= np.sign(np.linalg.det(rotation))
    header["quatern_b"], header["quatern_c"], header["quatern_d"] = nibabel.quaternions.mat2quat(rotation)[1:]
    header["qoffset_x"], header["qoffset_y"], header["qoffset_z"] = draw.uniform(-300, 300, 3)
    zooms = header["pixdim"][1:4].astype(float) * [1, 1, float(header["pixdim"][0])]
    offset = [float(header[f"qoffset_{axis}"]) for axis in "xyz"]
    _set_sform(header, np.c_[rotation @ np.diag(zooms), offset])


def _set_sform(header: Any, rows: np.ndarray) -> None:
    for name, row in zip("xyz", rows, strict=True):
        header[f"srow_{name}"] = row


def _rotation(draw: Draw) -> np.ndarray:
    return nibabel.quaternions.quat2mat(draw.normal(size=4))


def _dims(header: Any, draw: Draw, _: dict) -> None:
    forms = [(3, 5, 5, 5), (4, 5, 5, 5, 1), (5, 5, 5, 5, 1, 1), (4, 5, 5, 5, 2), (5, 5, 5, 5, 1, 3), (2, 5, 5)]
    forms += [(3, 5, 0, 5), (3, 5, -5, 5), (3, -1, 1, 1), (8, 5, 5, 5), (0, 5, 5, 5), (-3, 5, 5, 5), (3, 5, 5, 1)]
    forms += [(3, 30000, 30000, 30000), (7, 5, 5, 5, 1, 1, 1, 1), (768, 5, 5, 5)]
    chosen = forms[draw.integers(len(forms))]
    header["dim"] = [*chosen, *[1] * (8 - len(chosen))]


def _data_type(header: Any, draw: Draw, _: dict) -> None:
    header["datatype"] = draw.choice(ODD_CODES)


def _bits(header: Any, draw: Draw, _: dict) -> None:
    header["bitpix"] = draw.integers(-5, 200)


def _spacing(header: Any, draw: Draw, _: dict) -> None:
    header["pixdim"][draw.integers(1, 4)] = draw.choice([0, -1.5, np.nan, np.inf, 1e6, 1e-7, 3, -0.0])


def _qfac(header: Any, draw: Draw, _: dict) -> None:
    header["pixdim"][0] = draw.choice([0, np.nan, 2, -2, 0.5, -0.0, np.inf])
    header["sform_code"] = draw.choice([0, 1])


def _codes(header: Any, draw: Draw, _: dict) -> None:
    header[draw.choice(["qform_code", "sform_code"])] = draw.choice([-1, 6, 77, 1000])


def _quaternion(header: Any, draw: Draw, _: dict) -> None:
    header["quatern_" + draw.choice(list("bcd"))] = draw.choice([np.nan, 1.5, -3, np.inf, 1.0, 0])
    header["sform_code"] = draw.choice([0, 1])


def _offsets(header: Any, draw: Draw, _: dict) -> None:
    header["qoffset_" + draw.choice(list("xyz"))] = draw.choice([np.nan, np.inf, 1e9, 0])


def _sform(header: Any, draw: Draw, _: dict) -> None:
    rows = np.array([header[f"srow_{axis}"] for axis in "xyz"], dtype=float)
    changes: list[Callable[[], object]] = [
        lambda: rows.__setitem__((slice(None), 0), -rows[:, 0]),
        lambda: rows.__setitem__((slice(None), 3), rows[:, 3] + draw.normal(0, 5, 3)),
        lambda: rows.__setitem__((slice(None), slice(3)), _rotation(draw) @ rows[:, :3]),
        lambda: rows.__setitem__((slice(None), slice(3)), rows[:, :3] * draw.uniform(0.3, 3)),
        lambda: rows.__setitem__(draw.integers(3), 0),
        lambda: rows.__setitem__((draw.integers(3), draw.integers(4)), draw.choice([np.nan, np.inf, 0])),
        lambda: rows.__setitem__((slice(None), slice(3)), rows[:, :3] + draw.normal(0, 0.3, (3, 3))),
        lambda: rows.__setitem__((slice(None), 2), rows[:, 2] + np.tan(np.deg2rad(draw.uniform(0, 40))) * rows[:, 1]),
    ]
    changes[draw.integers(len(changes))]()
    _set_sform(header, rows)


def _units(header: Any, draw: Draw, _: dict) -> None:
    header["xyzt_units"] = code = draw.choice([1, 3, 4, 7, 9, 11, 255])
    if draw.random() < 0.5 and code & 7 in (1, 3):
        factor = 1e-3 if code & 7 == 1 else 1e3
        header["pixdim"][1:4] *= factor
        for axis in "xyz":
            header[f"srow_{axis}"] *= factor
            header[f"qoffset_{axis}"] *= factor


def _scaling(header: Any, draw: Draw, _: dict) -> None:
    header["scl_slope"] = draw.choice([1, 0, np.nan, 2.5, -1, np.inf, 1e-3])
    header["scl_inter"] = draw.choice([0, -1024, np.nan, 0.5, np.inf])


def _voxel_offset(header: Any, draw: Draw, _: dict) -> None:
    offsets = [0, 16, 100, 347, 351, 352, 352.5, 353, 368, 400, 544, 560, -1, 1e9, 3e5]
    version_1 = int(header["sizeof_hdr"]) == 348
    header["vox_offset"] = draw.choice([*offsets, np.nan, np.inf] if version_1 else [int(p) for p in offsets])


def _extension(header: Any, draw: Draw, file: dict) -> None:
    order, sizes = header.endianness, [16, 32, 64, 17, 8, 4, 0, -16, 100000]
    size = int(draw.choice(sizes, p=[0.3, 0.2, 0.2, *[0.05] * 6]))
    body = np.array([size, draw.choice([0, 2, 4, 6, 999])], order + "i4").tobytes() + b"comment".ljust(max(0, size - 8))
    file["extension"] = bytes([draw.choice([1, 1, 1, 0, 7]), 0, 0, 0]) + body[: max(8, min(size, 64))]
    header["vox_offset"] = int(header["sizeof_hdr"]) + len(file["extension"])


def _magic(header: Any, draw: Draw, _: dict) -> None:
    header["magic"] = draw.choice([b"ni1", b"n+1", b"n+2", b"ni2", b"", b"n+1X", b"N+1"])
    if "eol_check" in header and draw.random() < 0.5:
        header["eol_check"] = [[0, 0, 0, 0], [10, 10, 26, 10], [13, 10, 26, 10]][draw.integers(3)]


def _size(header: Any, draw: Draw, _: dict) -> None:
    header["sizeof_hdr"] = draw.choice([0, 348, 540, 352, 1543569408])


def _intent(header: Any, draw: Draw, _: dict) -> None:
    header["intent_code"] = draw.choice([0, 2, 3, 1001, 1002, 1007, 2003, 9999])
    header["cal_max"], header["slice_code"], header["dim_info"] = 300, draw.integers(0, 8), draw.integers(0, 64)


def _cut(header: Any, draw: Draw, file: dict) -> None:
    file["cut"] = int(draw.choice([1, 8, 200]))


def _behind(header: Any, draw: Draw, file: dict) -> None:
    file["behind"] = draw.choice([bytes(7), b"more"]) * int(draw.integers(1, 200))


FAULTS: dict[str, Callable[[Any, Draw, dict], None]] = {
    "dimensions": _dims,
    "data type": _data_type,
    "bits": _bits,
    "spacing": _spacing,
    "qfac": _qfac,
    "codes": _codes,
    "quaternion": _quaternion,
    "offsets": _offsets,
    "sform": _sform,
    "sform again": _sform,
    "units": _units,
    "scaling": _scaling,
    "scaling again": _scaling,
    "voxel offset": _voxel_offset,
    "extension": _extension,
    "magic": _magic,
    "size": _size,
    "intent": _intent,
    "cut": _cut,
    "behind": _behind,
}


def _write(folder: Path, header: Any, file: dict, draw: Draw) -> Path:
    try:
        itemsize = max(1, header.get_data_dtype().itemsize)
    except (KeyError, nibabel.spatialimages.HeaderDataError):
        itemsize = 2
    lengths = header["dim"][1:].astype(np.int64)
    count = int(np.prod(np.clip(lengths, 1, 8))) * itemsize
    # Random bits would be NaN now and then, which is another test: floats of both byte orders get small numbers.
    kind = header.get_data_dtype() if int(header["datatype"]) in (16, 64) else None
    values = draw.normal(0, 400, count // itemsize).astype(kind).tobytes() if kind is not None else draw.bytes(count)
    head = header.binaryblock + file["extension"]
    start = float(header["vox_offset"])
    gap = int(start) - len(head) if np.isfinite(start) and len(head) < start < 1e4 else 0
    content = head + bytes(gap) + values + file["behind"]
    content = content[: len(content) - file["cut"]]
    name, form = draw.choice(["a.nii", "a.nii.gz"]), draw.integers(4)
    if name.endswith(".gz"):
        middle = len(content) // 2 if form == 0 else len(content)
        content = gzip.compress(content[:middle], 1) + (gzip.compress(content[middle:], 1) if form == 0 else b"")
    path = folder / str(name)
    path.write_bytes(content)
    return path


def _outcome(path: Path, name: str) -> str:
    theirs = _by_nibabel(path)
    try:
        ours = read_nifti(path)
        check_affine(ours.affine, path)
    except UniferumError as error:
        field = error.subject.partition(f"{path.name}: ")[2] or error.must
        return f"refused: {field}" + (" (nibabel reads it)" if theirs is not None else "")
    assert theirs is not None, f"{name}: nibabel refuses what was read"
    values, affine, unit = theirs
    scaled = ours.values.astype(np.float64) * ours.intensity.slope + ours.intensity.intercept
    assert scaled.shape == values.shape, name
    np.testing.assert_allclose(scaled, values, rtol=1e-6, atol=1e-6 * np.abs(values).max(), err_msg=name)
    factor = {1: 1e3, 3: 1e-3}.get(unit, 1.0) if "spacing_units" in ours.flags else 1.0
    expected = [np.diag([scale, scale, scale, 1]) @ affine for scale in {1.0, factor}]
    near = [np.allclose(ours.affine, one, rtol=1e-5, atol=1e-4) for one in expected]
    assert any(near), f"{name}: {ours.affine} is not {affine}"
    return "equal" + (f", flagged {', '.join(sorted(ours.flags))}" if ours.flags else "")


def _by_nibabel(path: Path) -> tuple[np.ndarray, np.ndarray, int] | None:
    logger = logging.getLogger("nibabel.global")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            if int(np.prod(np.asarray(nibabel.load(path).shape, dtype=float)) > 1e6):
                return None
            image: Any = nibabel.load(path)
            values = image.get_fdata()
            while values.ndim > 3 and values.shape[-1] == 1:
                values = values[..., 0]
            return values, image.affine, int(image.header["xyzt_units"]) & 7
    except Exception:  # noqa: BLE001 - nibabel refuses damaged files by errors of many kinds
        return None
    finally:
        logger.setLevel(before)
