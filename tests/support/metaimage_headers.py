"""Random MetaImage files, sound and with faults, and whether our reader agrees with SimpleITK on each."""

import re
import shutil
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK

from uniferum.errors import UniferumError
from uniferum.preprocessing.affines import check_affine
from uniferum.preprocessing.formats.metaimage import read_metaimage

TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
Draw = np.random.Generator


class Made:
    """A MetaImage file before it is written: its lines (key to value, in order), its voxels, and their encoding."""

    def __init__(self, draw: Draw) -> None:
        """Start from a correct header."""
        self.draw = draw
        self.shape = [int(n) for n in draw.integers(2, 7, 3)]
        kind = str(draw.choice(list(TYPES)))
        self.big = False
        self.dtype = TYPES[kind]
        self.lines: list[tuple[str, str]] = [
            ("ObjectType", "Image"),
            ("NDims", "3"),
            ("DimSize", " ".join(map(str, self.shape))),
            ("ElementSpacing", numbers(draw.uniform(0.4, 5, 3))),
            (str(draw.choice(["TransformMatrix", "Rotation", "Orientation"])), numbers(rotation(draw).ravel())),
            (str(draw.choice(["Offset", "Position", "Origin"])), numbers(draw.uniform(-300, 300, 3))),
            ("ElementType", kind),
        ]
        self.separator, self.end, self.ending = " = ", "\n", "mhd"
        self.name, self.compressed, self.front, self.behind, self.cut = "a.raw", False, b"", b"", 0
        self.listed: list[str] = []

    def set(self, key: str, value: str) -> None:
        """Replace the value of a key, or add it before the last line."""
        self.lines = [(name, value if name == key else old) for name, old in self.lines]
        if key not in dict(self.lines):
            self.lines.append((key, value))

    def drop(self, *keys: str) -> None:
        """Leave keys out."""
        self.lines = [(name, value) for name, value in self.lines if name not in keys]

    def write(self, folder: Path) -> Path:
        """Write header and voxels; returns the header."""
        count = int(np.prod(self.shape))
        values = self.draw.normal(0, 60, count).astype("f8").clip(0 if self.dtype[0] == "u" else -128, 127)
        raw = values.astype((">" if self.big else "<") + self.dtype).tobytes()
        raw = zlib.compress(raw) if self.compressed else raw
        voxels = self.front + raw + self.behind
        voxels = voxels[: len(voxels) - self.cut]
        text = "".join(f"{key}{self.separator}{value}{self.end}" for key, value in self.lines)
        if self.compressed and "CompressedDataSize" in dict(self.lines):
            text = text.replace("SIZE", str(len(raw)))
        text += f"ElementDataFile{self.separator}{self.name}{self.end}"
        text += "".join(f"{name}{self.end}" for name in self.listed)
        path = folder / f"a.{self.ending}"
        local = self.name.upper().startswith("LOCAL")
        path.write_bytes(text.encode() + (voxels if local else b""))
        each = max(1, len(voxels) // max(1, len(self.listed)))
        for index, name in enumerate(self.listed):
            (folder / name).write_bytes(voxels[index * each : (index + 1) * each])
        if not local and not self.listed and "%" not in self.name and "missing" not in self.name:
            (folder / self.name).parent.mkdir(exist_ok=True)
            (folder / self.name).write_bytes(voxels)
        return path


def numbers(values: np.ndarray) -> str:
    """Format numbers as a header has them."""
    return " ".join(f"{value:.6g}" for value in values)


def rotation(draw: Draw) -> np.ndarray:
    """A rotation or mirror image: along the axes, or any."""
    if draw.random() < 0.5:
        return np.eye(3)[draw.permutation(3)] * draw.choice([-1, 1], 3)
    return np.linalg.qr(draw.normal(size=(3, 3)))[0]


def _order(made: Made) -> None:
    first = made.lines[:2]
    made.draw.shuffle(first)
    rest = made.lines[2:]
    made.draw.shuffle(rest)
    made.lines = [tuple(line) for line in (*first, *rest)]
    if made.draw.random() < 0.2:
        made.draw.shuffle(made.lines)
        made.lines = [tuple(line) for line in made.lines]


def _synonyms(made: Made) -> None:
    names = [("TransformMatrix", "Rotation", "Orientation"), ("Offset", "Position", "Origin")]
    group = names[made.draw.integers(2)]
    same = next(value for name, value in made.lines if name in group)
    other = numbers(rotation(made.draw).ravel()) if len(same.split()) == 9 else "1 2 3"
    made.set(str(made.draw.choice(group)), str(made.draw.choice([same, other])))


def _missing(made: Made) -> None:
    keys = [name for name, _ in made.lines]
    made.drop(str(made.draw.choice(keys)))


def _size(made: Made) -> None:
    spacing = dict(made.lines).get("ElementSpacing", "1 1 1")
    made.set("ElementSize", str(made.draw.choice([spacing, "4 4 4"])))
    if made.draw.random() < 0.5:
        made.drop("ElementSpacing")


def _spacing(made: Made) -> None:
    values = [
        "-1 2 3",
        "0 2 3",
        "1,5 2 3",
        "1 2",
        "1 2 3 4",
        "nan 2 3",
        "1e0 2.0 +3",
        "1 2 x",
        "1_0 1 1",
        "inf 1 1",
        ".5 1. 2",
    ]
    made.set("ElementSpacing", str(made.draw.choice(values)))


def _matrix(made: Made) -> None:
    values = ["0 0 0 0 1 0 0 0 1", "1 0 0 0 1 0", "2 0 0 0 2 0 0 0 2", "1 0.3 0 0 1 0 0 0 1", "1 0 0 0 1 0 0 0 1 5"]
    values += ["1 0 0 0 1 0 0 0.2 1", "nan 0 0 0 1 0 0 0 1", "0 0 1 1 0 0 0 1 0", "1 0 0 0 0.98 0.17 0 -0.17 0.98"]
    made.drop("Rotation", "Orientation")
    made.set("TransformMatrix", str(made.draw.choice(values)))


def _offset(made: Made) -> None:
    made.drop("Position", "Origin")
    made.set("Offset", str(made.draw.choice(["nan 0 0", "1 2", "1 2 3 4", "1e3 -1e-3 0", "a b c"])))


def _dims(made: Made) -> None:
    choices = [("3", "4 5 6 1"), ("3", "4.7 5 6"), ("3", "-4 5 6"), ("2", "4 5"), ("4", "4 5 6 1"), ("3", "4 5")]
    choices += [("3", "4.0 5 6"), ("3 x", "4 5 6"), ("3", "0 5 6"), ("3", "99999 99999 99999"), ("3", "4 5 1")]
    dims, size = choices[made.draw.integers(len(choices))]
    made.shape = [4, 5, 6]
    made.set("NDims", dims)
    made.set("DimSize", size)


def _separator(made: Made) -> None:
    made.separator = str(made.draw.choice(["=", ":", " : ", "\t=\t", "   =  "]))


def _line_ends(made: Made) -> None:
    made.end = str(made.draw.choice(["\r\n", "\n\n", " \n", "\r"], p=[0.6, 0.2, 0.1, 0.1]))


def _comment(made: Made) -> None:
    values = [("Comment", "made by a: b = c"), ("Comment", ""), ("AnatomicalOrientation", "LPS"), ("FooBar", "1 2 3")]
    values += [("Modality", "MET_MOD_CT"), ("CenterOfRotation", "5 5 5"), ("TransformType", "Rigid"), ("Name", "x")]
    values += [
        ("ElementMin", "-1000"),
        ("ElementNBits", "12"),
        ("0008|0060", "CT"),
        ("DistanceUnits", "mm"),
        ("ID", "4"),
    ]
    values += [("DistanceUnits", "um"), ("DistanceUnits", "cm"), ("ObjectSubType", "x"), ("Color", "1 0 0 1")]
    key, value = values[made.draw.integers(len(values))]
    made.lines.insert(int(made.draw.integers(0, len(made.lines) + 1)), (key, value))


def _object(made: Made) -> None:
    made.set("ObjectType", str(made.draw.choice(["Tube", "image", "Image"])))


def _order_of_bytes(made: Made) -> None:
    made.big = bool(made.draw.random() < 0.6)
    text = str(made.draw.choice(["True", "true", "1", "T"] if made.big else ["False", "false", "0", "no", "F"]))
    for key in made.draw.permutation(["BinaryDataByteOrderMSB", "ElementByteOrderMSB"])[
        : int(made.draw.integers(1, 3))
    ]:
        made.set(str(key), text)
    if made.draw.random() < 0.1:
        made.set("ElementByteOrderMSB", "True")
        made.set("BinaryDataByteOrderMSB", "False")


def _text(made: Made) -> None:
    made.set("BinaryData", str(made.draw.choice(["True", "False", "maybe"], p=[0.6, 0.3, 0.1])))


def _compressed(made: Made) -> None:
    made.compressed, made.name = True, str(made.draw.choice(["a.zraw", "a.raw", "LOCAL"]))
    made.set("CompressedData", str(made.draw.choice(["True", "true", "T", "1", "False"], p=[0.4, 0.2, 0.1, 0.2, 0.1])))
    if made.draw.random() < 0.6:
        made.set("CompressedDataSize", str(made.draw.choice(["SIZE", "SIZE", "SIZE", "10", "999999", "0"])))


def _local(made: Made) -> None:
    made.name = str(made.draw.choice(["LOCAL", "Local", "local", "LOCAL "]))
    made.ending = str(made.draw.choice(["mha", "mhd"]))


def _name(made: Made) -> None:
    names = ["my a.raw", "ü.raw", "sub/a.raw", "../a.raw", "a%d.raw 0 3 1", "missing.raw", "a[1].raw", "a", "."]
    made.name = str(made.draw.choice(names))
    made.name = "a.raw" if made.name in ("../a.raw", ".") and made.draw.random() < 0.5 else made.name
    if made.name in ("../a.raw", "."):
        made.name += "missing"


def _list(made: Made) -> None:
    made.name = str(made.draw.choice(["LIST", "LIST 2", "LIST 2D", "LIST 3"], p=[0.6, 0.2, 0.1, 0.1]))
    made.listed = [f"slice {k}.raw" for k in range(made.shape[2] + int(made.draw.choice([0, 0, 0, 0, 1, -1])))]


def _header_size(made: Made) -> None:
    size = int(made.draw.choice([0, 12, 2000, -1, -2]))
    made.front = bytes(max(0, size)) if size >= 0 else bytes(int(made.draw.integers(0, 50)))
    made.set("HeaderSize", str(size if made.draw.random() < 0.9 else size + 1))


def _cut(made: Made) -> None:
    made.cut = int(made.draw.choice([1, 5, 30]))


def _behind(made: Made) -> None:
    made.behind = bytes(int(made.draw.integers(1, 60)))


def _type(made: Made) -> None:
    made.set("ElementType", str(made.draw.choice(["MET_OTHER", "MET_NONE", "met_short", "MET_STRING", "short", ""])))


def _channels(made: Made) -> None:
    made.set("ElementNumberOfChannels", str(made.draw.choice(["1", "2", "3", "x"], p=[0.7, 0.1, 0.1, 0.1])))


def _slope(made: Made) -> None:
    made.set("ElementToIntensityFunctionSlope", str(made.draw.choice(["1", "2"])))
    made.set("ElementToIntensityFunctionOffset", str(made.draw.choice(["0", "-1024"], p=[0.7, 0.3])))


def _twice(made: Made) -> None:
    made.lines.append(made.lines[made.draw.integers(len(made.lines))])


def _junk(made: Made) -> None:
    made.lines.insert(int(made.draw.integers(0, 5)), ("hello world", "x"))
    if made.draw.random() < 0.3:
        made.lines.insert(2, (f"just words{made.end}ID", "1"))


FAULTS: tuple[Callable[[Made], None], ...] = (
    *(_order, _order, _synonyms, _missing, _size, _spacing, _matrix, _offset, _dims, _separator, _line_ends, _comment),
    *(_comment, _object, _order_of_bytes, _order_of_bytes, _text, _compressed, _compressed, _local, _local, _name),
    *(_list, _header_size, _header_size, _cut, _behind, _type, _channels, _slope, _twice, _junk),
)


def agreement(folder: Path, seed: int, count: int) -> Counter[str]:
    """Outcomes of ``count`` random files: ``equal``, ``refused: ...``; asserts that there is no other one."""
    before = SimpleITK.ProcessObject.GetGlobalWarningDisplay()
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    draw, outcomes = np.random.default_rng(seed), Counter[str]()
    for number in range(count):
        # A folder of its own, so that no file of another one is found.
        subfolder = folder / f"{number % 8}"
        shutil.rmtree(subfolder, ignore_errors=True)
        subfolder.mkdir()
        outcomes[outcome(random_file(subfolder, draw), f"seed {seed}, file {number}")] += 1
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(before)
    return outcomes


def random_file(folder: Path, draw: Draw) -> Path:
    """One file: a third are sound, the others have one or two faults or oddities."""
    made = Made(draw)
    for index in draw.choice(len(FAULTS), size=draw.choice([0, 1, 2]), replace=False):
        FAULTS[index](made)
    return made.write(folder)


def outcome(path: Path, name: str) -> str:
    """``equal`` with its flags, or ``refused`` with the field."""
    theirs = _by_simpleitk(path)
    try:
        ours = read_metaimage(path)
        check_affine(ours.affine, path)
    except UniferumError as error:
        field = error.subject.partition(f"{path.name}: ")[2] or re.sub(r"\d+", "N", error.must)
        return f"refused: {field}" + (" (SimpleITK reads it)" if theirs is not None else "")
    assert theirs is not None, f"{name}: SimpleITK refuses what was read"
    values, affine = theirs
    np.testing.assert_array_equal(ours.values, values, err_msg=name)
    factor = {"um": 1e-3, "cm": 10.0}.get(_unit(path), 1.0)
    near = [np.allclose(ours.affine, np.diag([f, f, f, 1]) @ affine, rtol=1e-6, atol=1e-5) for f in (1.0, factor)]
    assert any(near), f"{name}: {ours.affine} is not {affine}"
    assert near[0] or "spacing_units" in ours.flags, name
    return "equal" + (f", flagged {', '.join(sorted(ours.flags))}" if ours.flags else "")


def _unit(path: Path) -> str:
    words = path.read_bytes()[:2000].replace(b":", b"=").split(b"DistanceUnits")
    return words[1].strip(b" =\t").split()[0].decode() if len(words) > 1 else "mm"


def _by_simpleitk(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        if reader.GetDimension() != 3 or np.prod(np.array(reader.GetSize(), dtype=float)) > 1e6:
            return None
        image = reader.Execute()
    except (RuntimeError, ValueError, MemoryError):
        return None
    if image.GetNumberOfComponentsPerPixel() != 1:
        return None
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0), np.diag([-1, -1, 1, 1]) @ affine
