"""Compiled loops over voxels: trilinear rows of an affine map, window averages, nearest-neighbour masks.

Every kernel gets ``matrix`` and ``start`` (source index = matrix @ output index + start), releases the GIL and is
compiled once per machine. Two compilations on one machine give identical results.
"""

import numpy as np
from numba import njit

AIR_HU = -1000.0


@njit(cache=True, nogil=True, fastmath=True)
def crop(source, i0, j0, k0, slope, shift, out):
    """Write the values of a box of ``source`` that begins at (i0, j0, k0), scaled and shifted, into ``out``."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                out[i, j, k] = np.float32(source[i0 + i, j0 + j, k0 + k]) * slope + shift


@njit(cache=True, nogil=True, inline="always")
def _inside_run(p, d, n, count):
    """Range [lo, hi) of k in [0, count) for which 0 <= p + k d <= n - 1, shrunk by a tolerance on both sides."""
    low, high = 1e-4, n - 1 - 1e-4
    if abs(d) < 1e-9:
        return (0, count) if low <= p <= high else (0, 0)
    a, b = (low - p) / d, (high - p) / d
    if a > b:
        a, b = b, a
    lo = int(np.ceil(min(max(a, 0.0), count)))
    hi = int(np.floor(min(max(b, -1.0), count - 1.0))) + 1
    return lo, max(lo, hi)


@njit(cache=True, nogil=True)
def _at_border(source, x, y, z, air):
    """Trilinear value near or beyond the border: the border is repeated, or air is used (torch's zero padding)."""
    nx, ny, nz = source.shape
    if not air:
        x, y, z = min(max(x, 0.0), nx - 1.0), min(max(y, 0.0), ny - 1.0), min(max(z, 0.0), nz - 1.0)
    i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    total = 0.0
    for a in range(i, i + 2):
        for b in range(j, j + 2):
            for c in range(k, k + 2):
                weight = (1 - abs(x - a)) * (1 - abs(y - b)) * (1 - abs(z - c))
                inside = 0 <= a < nx and 0 <= b < ny and 0 <= c < nz
                total += weight * (source[a, b, c] if inside else AIR_HU)
    return total


@njit(cache=True, nogil=True, fastmath=True)
def _row(source, flat, x0, y0, z0, dx, dy, dz, air, row):
    """Write trilinear values along one line of the source into ``row``."""
    count = row.shape[0]
    nx, ny, nz = source.shape
    ax, bx = _inside_run(x0, dx, nx, count)
    ay, by = _inside_run(y0, dy, ny, count)
    az, bz = _inside_run(z0, dz, nz, count)
    lo = max(ax, ay, az)
    hi = max(lo, min(bx, by, bz))
    for k in range(lo):
        row[k] = _at_border(source, x0 + k * dx, y0 + k * dy, z0 + k * dz, air)
    for k in range(hi, count):
        row[k] = _at_border(source, x0 + k * dx, y0 + k * dy, z0 + k * dz, air)
    sy, sx = np.int32(nz), np.int32(ny * nz)
    px, py, pz = np.float32(x0), np.float32(y0), np.float32(z0)
    qx, qy, qz = np.float32(dx), np.float32(dy), np.float32(dz)
    for k in range(lo, hi):
        t = np.float32(k)
        x, y, z = px + t * qx, py + t * qy, pz + t * qz
        i, j, l = np.int32(x), np.int32(y), np.int32(z)  # noqa: E741
        fx, fy, fz = x - np.float32(i), y - np.float32(j), z - np.float32(l)
        p = np.uint32(i * sx + j * sy + l)
        q = np.uint32(p + sx)
        v00, v01 = np.float32(flat[p]), np.float32(flat[p + np.uint32(1)])
        v10, v11 = np.float32(flat[p + sy]), np.float32(flat[p + sy + np.uint32(1)])
        w00, w01 = np.float32(flat[q]), np.float32(flat[q + np.uint32(1)])
        w10, w11 = np.float32(flat[q + sy]), np.float32(flat[q + sy + np.uint32(1)])
        a0, a1 = v00 + fz * (v01 - v00), v10 + fz * (v11 - v10)
        b0, b1 = w00 + fz * (w01 - w00), w10 + fz * (w11 - w10)
        a, b = a0 + fy * (a1 - a0), b0 + fy * (b1 - b0)
        row[k] = a + fx * (b - a)


@njit(cache=True, nogil=True, fastmath=True)
def resample(source, matrix, start, slope, shift, air, out):
    """Sample the source trilinearly at every output voxel."""
    flat = source.ravel()
    row = np.empty(out.shape[2], np.float32)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            x = start[0] + matrix[0, 0] * i + matrix[0, 1] * j
            y = start[1] + matrix[1, 0] * i + matrix[1, 1] * j
            z = start[2] + matrix[2, 0] * i + matrix[2, 1] * j
            _row(source, flat, x, y, z, matrix[0, 2], matrix[1, 2], matrix[2, 2], air, row)
            for k in range(out.shape[2]):
                out[i, j, k] = row[k] * slope + shift


@njit(cache=True, nogil=True, fastmath=True)
def pooled(source, matrix, start, x_cells, x_counts, y_cells, y_counts, z_windows, slope, shift, air, out):
    """Sample the source trilinearly on a fine grid, averaged over each output voxel's window on the fly.

    ``x_cells[a]`` are the first and one-past-last output voxel whose window contains the fine sample ``a``, and
    ``x_counts[i]`` is the number of samples in the window of ``i``; likewise y. ``z_windows[k]`` is the window of
    ``k``.
    """
    flat = source.ravel()
    out[:] = 0.0
    row = np.empty(z_windows[-1, 1], np.float32)
    cells = np.empty(out.shape[2], np.float32)
    for a in range(x_cells.shape[0]):
        for b in range(y_cells.shape[0]):
            x = start[0] + matrix[0, 0] * a + matrix[0, 1] * b
            y = start[1] + matrix[1, 0] * a + matrix[1, 1] * b
            z = start[2] + matrix[2, 0] * a + matrix[2, 1] * b
            _row(source, flat, x, y, z, matrix[0, 2], matrix[1, 2], matrix[2, 2], air, row)
            _means(row, z_windows, cells)
            for i in range(x_cells[a, 0], x_cells[a, 1]):
                for j in range(y_cells[b, 0], y_cells[b, 1]):
                    add(cells, np.float32(slope / (x_counts[i] * y_counts[j])), out[i, j])
    out += shift


@njit(cache=True, nogil=True, fastmath=True)
def _means(row, windows, cells):
    for k in range(cells.shape[0]):
        total = np.float32(0.0)
        for c in range(windows[k, 0], windows[k, 1]):
            total += row[c]
        cells[k] = total / np.float32(windows[k, 1] - windows[k, 0])


@njit(cache=True, nogil=True, fastmath=True)
def add(cells, weight, out):
    """Add ``cells`` times ``weight`` to ``out``."""
    for k in range(cells.shape[0]):
        out[k] += weight * cells[k]


@njit(cache=True, nogil=True)
def values_pooled(source, xs, ys, zs, pool, present):
    """Mark the values in each pooling window: ``present[X, Y, Z, value]`` becomes 1.

    ``xs``, ``ys`` and ``zs`` are the source indices of the output voxels along each axis.
    """
    for i in range(xs.shape[0]):
        for j in range(ys.shape[0]):
            for k in range(zs.shape[0]):
                present[i // pool, j // pool, k // pool, source[xs[i], ys[j], zs[k]]] = 1


@njit(cache=True, nogil=True)
def nearest_pooled(source, members, matrix, start, air, shape, pool, pooled):
    """Max-pool a structure over each pooling window; return whether any voxel was hit."""
    nx, ny, nz = source.shape
    hit = False
    for i in range(shape[0]):
        for j in range(shape[1]):
            x0 = start[0] + matrix[0, 0] * i + matrix[0, 1] * j + 0.5
            y0 = start[1] + matrix[1, 0] * i + matrix[1, 1] * j + 0.5
            z0 = start[2] + matrix[2, 0] * i + matrix[2, 1] * j + 0.5
            for k in range(shape[2]):
                x = int(np.floor(x0 + matrix[0, 2] * k))
                y = int(np.floor(y0 + matrix[1, 2] * k))
                z = int(np.floor(z0 + matrix[2, 2] * k))
                if x < 0 or y < 0 or z < 0 or x >= nx or y >= ny or z >= nz:
                    if air:
                        continue
                    x, y, z = min(max(x, 0), nx - 1), min(max(y, 0), ny - 1), min(max(z, 0), nz - 1)
                if members[source[x, y, z]]:
                    pooled[i // pool, j // pool, k // pool] = 1
                    hit = True
    return hit
