"""Paint ellipsoids, tubes, boxes and the rib cage onto a voxel grid, each in its bounding box.

Shapes are rows of a float table in atlas mm (RAS, zero at the body's centre). They do not depend on the grid: the same
rows give the same body at 8 mm and at 0.7 mm. A voxel gets the value at its centre.
"""

import math

import numba
import numpy as np
from jaxtyping import Float32, Float64, UInt8

ELLIPSOID, TUBE, BOX, CAGE = 0, 1, 2, 3
SET, ADD = 0, 1
SOLID, LATTICE, CHEQUER, CELLS, BANDS = 0, 1, 2, 3, 4

KIND, A, B, R, INNER, REGION, HU, MODE, TISSUE, PATTERN, PERIOD, FILL, PLANE, WIDTH = (
    *(0, 1, 4, 7, 10, 11, 12, 13, 14, 15, 16, 17, 18),
    22,
)

# Codes of the tissue map: TotalSegmentator v2 ids (1 to 117), and codes above 200 for tissues without an id.
OUTSIDE, SOFT, SKIN_FAT, FAT, ARTERY, AIRWAY, FLUID, FREE_AIR, DEVICE = 0, 200, 201, 202, 203, 204, 205, 206, 207

RIB_LEFT_1, RIB_RIGHT_1, COSTAL_CARTILAGES = 92, 104, 117
RIB_PITCH_MM, RIB_HEIGHT_MM, RIB_SLOPE, RIB_TOP_MM = 18.5, 9.0, 0.28, 112.0


@numba.njit(cache=True)
def _ellipsoid(s, x, y, z):
    dx, dy, dz = (x - s[A]) / s[R], (y - s[A + 1]) / s[R + 1], (z - s[A + 2]) / s[R + 2]
    d2 = dx * dx + dy * dy + dz * dz
    return d2 <= 1.0 and d2 >= s[INNER] * s[INNER]


@numba.njit(cache=True)
def _tube(s, x, y, z):
    ux, uy, uz = s[B] - s[A], s[B + 1] - s[A + 1], s[B + 2] - s[A + 2]
    px, py, pz = x - s[A], y - s[A + 1], z - s[A + 2]
    length2 = ux * ux + uy * uy + uz * uz
    t = min(1.0, max(0.0, (px * ux + py * uy + pz * uz) / length2))
    dx, dy, dz = px - t * ux, py - t * uy, pz - t * uz
    d2 = (dx * dx + dy * dy + dz * dz) / (s[R] * s[R])
    return d2 <= 1.0 and d2 >= s[INNER] * s[INNER]


@numba.njit(cache=True)
def _box(s, x, y, z):
    return abs(x - s[A]) <= s[R] and abs(y - s[A + 1]) <= s[R + 1] and abs(z - s[A + 2]) <= s[R + 2]


@numba.njit(cache=True)
def _cell_noise(i, j, k):
    """Random number in [0, 1) for one cell of a pattern."""
    h = (i * 73856093) ^ (j * 19349663) ^ (k * 83492791)
    return ((h ^ (h >> 13)) & 1023) / 1024.0


@numba.njit(cache=True)
def _cells(s, x, y, z):
    """One ball per cell, shifted from its centre by a random offset of the cell."""
    period = s[PERIOD]
    i, j, k = math.floor(x / period), math.floor(y / period), math.floor(z / period)
    slack = 0.5 - s[FILL]
    cx = 0.5 + slack * (2.0 * _cell_noise(i, j, k) - 1.0)
    cy = 0.5 + slack * (2.0 * _cell_noise(j, k, i) - 1.0)
    dx, dy, dz = x / period - i - cx, y / period - j - cy, z / period - k - 0.5
    return dx * dx + dy * dy + dz * dz <= s[FILL] * s[FILL]


@numba.njit(cache=True)
def _lattice(s, x, y, z):
    """Sheets across x, y and z, one per period, with the share ``FILL`` of it as thickness."""
    thick = s[FILL] * s[PERIOD]
    return (x % s[PERIOD]) < thick or (y % s[PERIOD]) < thick or (z % s[PERIOD]) < thick


@numba.njit(cache=True)
def _patterned(s, x, y, z):
    pattern = s[PATTERN]
    if pattern == SOLID:
        return True
    if pattern == LATTICE:
        return _lattice(s, x, y, z)
    if pattern == CELLS:
        return _cells(s, x, y, z)
    if pattern == BANDS:
        return (z % s[PERIOD]) < s[FILL] * s[PERIOD]
    return (math.floor(x / s[PERIOD]) + math.floor(y / s[PERIOD]) + math.floor(z / s[PERIOD])) % 2 == 0


@numba.njit(cache=True)
def _within(s, x, y, z):
    if s[PLANE] * x + s[PLANE + 1] * y + s[PLANE + 2] * z < s[PLANE + 3]:
        return False
    kind = s[KIND]
    if kind == ELLIPSOID:
        inside = _ellipsoid(s, x, y, z)
    elif kind == TUBE:
        inside = _tube(s, x, y, z)
    else:
        inside = _box(s, x, y, z)
    return inside and _patterned(s, x, y, z)


@numba.njit(cache=True)
def _rib(x, y, z):
    """Tissue code of a point of the chest wall: rib, cartilage or intercostal muscle."""
    level = (RIB_TOP_MM - (z + RIB_SLOPE * (y + 80.0))) / RIB_PITCH_MM
    number = math.floor(level)
    if number < 0 or number > 11 or (level - number) * RIB_PITCH_MM > RIB_HEIGHT_MM:
        return SOFT
    if number >= 10 and y > (-20.0 if number == 10 else -45.0):
        return SOFT
    if number < 10 and y > 40.0 and abs(x) < 75.0:
        return COSTAL_CARTILAGES
    return (RIB_LEFT_1 if x < 0.0 else RIB_RIGHT_1) + number


@numba.njit(cache=True)
def _cage(s, x, y, z, tissue_here):
    """Tissue and HU of the chest wall and its content; the wall narrows above the heart."""
    up = max(0.0, z - 30.0) / 120.0
    narrow = math.sqrt(max(0.05, 1.0 - 0.75 * up * up))
    q = math.sqrt((x / (s[R] * narrow)) ** 2 + (y / (s[R + 1] * narrow)) ** 2)
    if q > 1.0:
        return tissue_here, -2000.0
    if q < s[INNER]:
        return (FAT, -70.0) if z > -100.0 else (SOFT, 40.0)
    code = _rib(x, y, z)
    if code == SOFT:
        return SOFT, 45.0
    return (code, 120.0) if code == COSTAL_CARTILAGES else (code, 420.0)


@numba.njit(cache=True)
def _span(low, high, origin, step, n):
    first = max(0, math.ceil((low - origin) / step - 1e-9))
    last = min(n - 1, math.floor((high - origin) / step + 1e-9))
    return first, last + 1


@numba.njit(cache=True)
def _reach(s, axis):
    """Bounds of a shape along one axis, in atlas mm."""
    if s[KIND] == TUBE:
        return min(s[A + axis], s[B + axis]) - s[R], max(s[A + axis], s[B + axis]) + s[R]
    return s[A + axis] - s[R + axis], s[A + axis] + s[R + axis]


@numba.njit(cache=True)
def _paint_cage(s, hu, tissue, origin, step):
    for i in range(hu.shape[0]):
        x = origin[0] + i * step[0]
        for j in range(hu.shape[1]):
            y = origin[1] + j * step[1]
            if (x / s[R]) ** 2 + (y / s[R + 1]) ** 2 > 1.0:
                continue
            for k in range(hu.shape[2]):
                code, value = _cage(s, x, y, origin[2] + k * step[2], tissue[i, j, k])
                if value > -2000.0:
                    tissue[i, j, k] = code
                    hu[i, j, k] = value


@numba.njit(cache=True)
def _paint_shape(s, hu, tissue, origin, step, allowed):
    low, high = _reach(s, 0)
    i0, i1 = _span(low, high, origin[0], step[0], hu.shape[0])
    low, high = _reach(s, 1)
    j0, j1 = _span(low, high, origin[1], step[1], hu.shape[1])
    low, high = _reach(s, 2)
    k0, k1 = _span(low, high, origin[2], step[2], hu.shape[2])
    region, code, value, mode = int(s[REGION]), int(s[TISSUE]), s[HU], int(s[MODE])
    for i in range(i0, i1):
        x = origin[0] + i * step[0]
        for j in range(j0, j1):
            y = origin[1] + j * step[1]
            for k in range(k0, k1):
                if not allowed[region, tissue[i, j, k]] or not _within(s, x, y, origin[2] + k * step[2]):
                    continue
                hu[i, j, k] = value if mode == SET else hu[i, j, k] + value
                if code >= 0:
                    tissue[i, j, k] = code


@numba.njit(cache=True, nogil=True)
def _paint(hu, tissue, origin, step, shapes, allowed):
    for n in range(shapes.shape[0]):
        s = shapes[n]
        if s[KIND] == CAGE:
            _paint_cage(s, hu, tissue, origin, step)
        else:
            _paint_shape(s, hu, tissue, origin, step, allowed)


def paint(
    shape: tuple[int, int, int],
    origin: Float64[np.ndarray, "3"],
    step: Float64[np.ndarray, "3"],
    shapes: Float64[np.ndarray, "n 22"],
    allowed: np.ndarray,
) -> tuple[Float32[np.ndarray, "x y z"], UInt8[np.ndarray, "x y z"]]:
    """Paint the shapes in order on a grid whose voxel (0, 0, 0) is centred at ``origin``.

    Args:
        shape: number of voxels along x, y and z.
        origin: centre of the first voxel in atlas mm.
        step: voxel size in atlas mm along each axis, positive.
        shapes: one row per shape, with the columns listed at the top of this module.
        allowed: booleans (region, tissue code): tissues that a shape of that region may cover.

    Returns:
        HU (float32) and tissue codes (uint8), both of ``shape``.
    """
    hu = np.full(shape, -1000.0, dtype=np.float32)
    tissue = np.zeros(shape, dtype=np.uint8)
    _paint(hu, tissue, origin, step, shapes, allowed)
    return hu, tissue
