"""Compiled resampling kernels: from a raw to a prepared volume in one step, in int16, without a grid in memory.

Invariant: every kernel maps output indices to source indices by the caller's matrix. Positions more than half a voxel
outside the outermost voxel centres are outside the field of view and get the fill value.
"""

import numba
import numpy as np

Shape = tuple[int, int, int]


def linear(source: np.ndarray, matrix: np.ndarray, shape: Shape, *, fill: int) -> np.ndarray:
    """Resample ``source`` (int16, three axes) trilinearly to a grid of ``shape``.

    Args:
        source: the array, in any memory order.
        matrix: 4 x 4, output index to source index.
        shape: of the output.
        fill: the value outside the field of view.

    Returns:
        int16, C order.
    """
    axes = _axis_map(matrix)
    if axes is None:
        return _linear_affine(source, np.ascontiguousarray(matrix[:3]), shape, np.int16(fill))
    source = source.transpose(axes)
    matrix = matrix[[*axes, 3]]
    tables = [_linear_table(matrix[a, a], matrix[a, 3], shape[a], source.shape[a]) for a in range(3)]
    by_slice = _memory_order(source)
    return _linear_separable(by_slice, *tables[0], *tables[1], *tables[2], np.int16(fill))


def nearest(source: np.ndarray, matrix: np.ndarray, shape: Shape) -> np.ndarray:
    """Sample the nearest voxel of ``source`` (any integer type) on a grid of ``shape``; 0 outside the field of view."""
    axes = _axis_map(matrix)
    if axes is None:
        return _nearest_affine(source, np.ascontiguousarray(matrix[:3]), shape)
    source = source.transpose(axes)
    matrix = matrix[[*axes, 3]]
    tables = [_nearest_table(matrix[a, a], matrix[a, 3], shape[a], source.shape[a]) for a in range(3)]
    out = np.zeros(shape, dtype=source.dtype)
    spans = [np.flatnonzero(table >= 0) for table in tables]
    if all(len(span) for span in spans):
        box = tuple(slice(int(span[0]), int(span[-1]) + 1) for span in spans)
        picked = [table[part] for table, part in zip(tables, box, strict=True)]
        out[box] = _pick(_memory_order(source), *picked)
    return out


def block_mean(source: np.ndarray, factors: Shape) -> np.ndarray:
    """Average whole blocks of ``factors`` voxels (int16, rounded); an incomplete last block is dropped.

    Returns:
        int16 of ``source.shape // factors``, C order.
    """
    return _block_mean(_memory_order(source), *factors)


def area_pool(source: np.ndarray, starts_ends: tuple[tuple[np.ndarray, np.ndarray], ...]) -> np.ndarray:
    """Average the windows ``[start, end)`` of each axis (int16, rounded half up).

    Args:
        source: int16, C order.
        starts_ends: start and end indices (int64) for each axis.
    """
    (x0, x1), (y0, y1), (z0, z1) = starts_ends
    return _area_pool(source, x0, x1, y0, y1, z0, z1)


def _axis_map(matrix: np.ndarray) -> list[int] | None:
    """Source axis parallel to each output axis, or ``None`` for an oblique matrix."""
    used = np.abs(matrix[:3, :3]) > 1e-5 * np.abs(matrix[:3, :3]).max()
    if not (used.sum(axis=0) == 1).all() or not (used.sum(axis=1) == 1).all():
        return None
    return [int(np.flatnonzero(used[:, axis])[0]) for axis in range(3)]


def _memory_order(source: np.ndarray) -> np.ndarray:
    """View the array as (z, y, x) with x contiguous; copy it only if its memory order requires it."""
    turned = source.transpose(2, 1, 0)
    return turned if abs(turned.strides[2]) == turned.itemsize else np.ascontiguousarray(turned)


def _linear_table(step: float, offset: float, count: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    position = np.arange(count) * step + offset
    inside = (position >= -0.5 - 1e-6) & (position <= size - 0.5 + 1e-6)
    position = np.clip(position, 0, size - 1)
    low = np.minimum(np.floor(position).astype(np.int64), max(size - 2, 0))
    high = np.minimum(low + 1, size - 1)
    weight = (position - low).astype(np.float32)
    return np.where(inside, low, -1), high, weight


def _nearest_table(step: float, offset: float, count: int, size: int) -> np.ndarray:
    position = np.floor(np.arange(count) * step + offset + 0.5 - 1e-6).astype(np.int64)
    return np.where((position >= 0) & (position < size), position, -1)


@numba.njit(cache=True, nogil=True)
def _blend(below, above, weight, out):
    """Compute ``out = below * (1 - weight) + above * weight`` of a row in float32."""
    rest = np.float32(1) - weight
    for c in range(out.size):
        out[c] = np.float32(below[c]) * rest + np.float32(above[c]) * weight


@numba.njit(cache=True, nogil=True)
def _blend_at(row, low, high, weight, fill, out):
    """Interpolate a row between the indices ``low`` and ``high`` and round; ``fill`` where ``low`` is negative."""
    for i in range(low.size):
        value = row[low[i]] * (np.float32(1) - weight[i]) + row[high[i]] * weight[i]
        out[i] = fill if low[i] < 0 else np.int16(np.floor(value + np.float32(0.5)))


@numba.njit(cache=True, nogil=True)
def _turn(slab, depth, first, out):
    """Transpose a few (z, y, x) slices into (x, y, z)."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for d in range(depth):
                out[i, j, first + d] = slab[d, j, i]


@numba.njit(cache=True, nogil=True)
def _linear_separable(source, x_low, x_high, x_weight, y_low, y_high, y_weight, z_low, z_high, z_weight, fill):
    nx, ny, nz = x_low.size, y_low.size, z_low.size
    out = np.empty((nx, ny, nz), np.int16)
    plane = np.empty(source.shape[1:], np.float32)
    row = np.empty(source.shape[2], np.float32)
    slab = np.empty((16, ny, nx), np.int16)
    for k in range(nz):
        d = k % 16
        if z_low[k] < 0:
            slab[d] = fill
        else:
            for r in range(source.shape[1]):
                _blend(source[z_low[k], r], source[z_high[k], r], z_weight[k], plane[r])
            for j in range(ny):
                if y_low[j] < 0:
                    slab[d, j] = fill
                else:
                    _blend(plane[y_low[j]], plane[y_high[j]], y_weight[j], row)
                    _blend_at(row, x_low, x_high, x_weight, fill, slab[d, j])
        if d == 15 or k == nz - 1:
            _turn(slab, d + 1, k - d, out)
    return out


@numba.njit(cache=True, nogil=True)
def _linear_affine(source, matrix, shape, fill):
    out = np.empty(shape, np.int16)
    nx, ny, nz = source.shape
    for i in range(shape[0]):
        for j in range(shape[1]):
            for k in range(shape[2]):
                x = matrix[0, 0] * i + matrix[0, 1] * j + matrix[0, 2] * k + matrix[0, 3]
                y = matrix[1, 0] * i + matrix[1, 1] * j + matrix[1, 2] * k + matrix[1, 3]
                z = matrix[2, 0] * i + matrix[2, 1] * j + matrix[2, 2] * k + matrix[2, 3]
                if x < -0.5 or y < -0.5 or z < -0.5 or x > nx - 0.5 or y > ny - 0.5 or z > nz - 0.5:
                    out[i, j, k] = fill
                    continue
                x, y, z = min(max(x, 0.0), nx - 1.0), min(max(y, 0.0), ny - 1.0), min(max(z, 0.0), nz - 1.0)
                x0, y0, z0 = int(x), int(y), int(z)
                x1, y1, z1 = min(x0 + 1, nx - 1), min(y0 + 1, ny - 1), min(z0 + 1, nz - 1)
                wx, wy, wz = x - x0, y - y0, z - z0
                a = source[x0, y0, z0] * (1 - wx) + source[x1, y0, z0] * wx
                b = source[x0, y1, z0] * (1 - wx) + source[x1, y1, z0] * wx
                c = source[x0, y0, z1] * (1 - wx) + source[x1, y0, z1] * wx
                d = source[x0, y1, z1] * (1 - wx) + source[x1, y1, z1] * wx
                value = (a * (1 - wy) + b * wy) * (1 - wz) + (c * (1 - wy) + d * wy) * wz
                out[i, j, k] = np.int16(np.floor(value + 0.5))
    return out


@numba.njit(cache=True, nogil=True)
def _nearest_affine(source, matrix, shape):
    out = np.zeros(shape, source.dtype)
    nx, ny, nz = source.shape
    for i in range(shape[0]):
        for j in range(shape[1]):
            for k in range(shape[2]):
                x = int(np.floor(matrix[0, 0] * i + matrix[0, 1] * j + matrix[0, 2] * k + matrix[0, 3] + 0.5))
                y = int(np.floor(matrix[1, 0] * i + matrix[1, 1] * j + matrix[1, 2] * k + matrix[1, 3] + 0.5))
                z = int(np.floor(matrix[2, 0] * i + matrix[2, 1] * j + matrix[2, 2] * k + matrix[2, 3] + 0.5))
                if 0 <= x < nx and 0 <= y < ny and 0 <= z < nz:
                    out[i, j, k] = source[x, y, z]
    return out


@numba.njit(cache=True, nogil=True)
def _pick(source, xs, ys, zs):
    out = np.empty((xs.size, ys.size, zs.size), source.dtype)
    slab = np.empty((16, ys.size, xs.size), source.dtype)
    for k in range(zs.size):
        d = k % 16
        for j in range(ys.size):
            row = source[zs[k], ys[j]]
            for i in range(xs.size):
                slab[d, j, i] = row[xs[i]]
        if d == 15 or k == zs.size - 1:
            _turn(slab, d + 1, k - d, out)
    return out


@numba.njit(cache=True, nogil=True)
def _block_mean(source, fx, fy, fz):
    nz, ny, nx = source.shape[0] // fz, source.shape[1] // fy, source.shape[2] // fx
    out = np.empty((nx, ny, nz), np.int16)
    sums = np.empty(nx, np.int64)
    count = fx * fy * fz
    for k in range(nz):
        for j in range(ny):
            sums[:] = 0
            for z in range(k * fz, (k + 1) * fz):
                for y in range(j * fy, (j + 1) * fy):
                    row = source[z, y]
                    for i in range(nx):
                        total = 0
                        for x in range(i * fx, (i + 1) * fx):
                            total += row[x]
                        sums[i] += total
            for i in range(nx):
                out[i, j, k] = np.int16(np.floor(sums[i] / count + 0.5))
    return out


@numba.njit(cache=True, nogil=True)
def _area_pool(source, x0, x1, y0, y1, z0, z1):
    out = np.empty((x0.size, y0.size, z0.size), np.int16)
    column = np.empty(source.shape[2], np.int32)
    for i in range(x0.size):
        for j in range(y0.size):
            column[:] = 0
            for x in range(x0[i], x1[i]):
                for y in range(y0[j], y1[j]):
                    for z in range(source.shape[2]):
                        column[z] += source[x, y, z]
            area = (x1[i] - x0[i]) * (y1[j] - y0[j])
            for k in range(z0.size):
                total = 0
                for z in range(z0[k], z1[k]):
                    total += column[z]
                out[i, j, k] = np.int16(np.floor(total / (area * (z1[k] - z0[k])) + 0.5))
    return out
