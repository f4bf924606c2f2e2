"""One volume with its intensities stored correctly and wrongly, in every form that occurs."""

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

Form = tuple[str, np.ndarray]
PADDINGS = (-3024, -2048, -2000, -1024, -1000, -8192, -32768, 0, 3071, 32767)
SOUND_CLIPS = ((-1000, 1000), (-1024, 1000), (-1024, 3071), (-1000, 2000))
WINDOWS = ((-160, 240), (-125, 225), (-150, 250), (-1350, 150), (-1000, 400), (-1400, 200), (-500, 500), (-450, 1050))


def outside_circle(shape: tuple[int, ...]) -> np.ndarray:
    """Return a mask of the voxels outside of a scanner's round field of view; the axes are x, y, z."""
    x, y = (np.linspace(-1.01, 1.01, n) for n in shape[:2])
    return x[:, None] ** 2 + y[None, :] ** 2 > 1


def int16(values: np.ndarray) -> np.ndarray:
    """Round and clip values to int16, as a reader does."""
    return np.rint(np.clip(values, -32768, 32767)).astype(np.int16)


def padded(hu: np.ndarray, value: int) -> np.ndarray:
    """Fill the voxels outside the round field of view with a value."""
    out = hu.copy()
    out[outside_circle(hu.shape)] = value
    return out


def block_mean(hu: np.ndarray) -> np.ndarray:
    """Halve the resolution along each axis."""
    x, y, z = (n // 2 for n in hu.shape)
    blocks = hu[: 2 * x, : 2 * y, : 2 * z].astype(np.float32).reshape(x, 2, y, 2, z, 2)
    return int16(blocks.mean(axis=(1, 3, 5)))


def scaled(hu: np.ndarray, low: float, high: float, to: tuple[float, float]) -> np.ndarray:
    """Scale ``low`` to ``high`` linearly to the range ``to``, and clip."""
    return (np.clip(hu.astype(np.float32), low, high) - low) / (high - low) * (to[1] - to[0]) + to[0]


def sound(hu: np.ndarray) -> Iterator[Form]:
    """Yield every form whose values are HU, of the whole volume and of crops."""
    rng = np.random.default_rng(0)
    yield "as it is", hu
    for noise in (30, 70):
        yield f"noise of {noise} HU", int16(hu + rng.normal(0, noise, hu.shape))
    yield "half as fine", block_mean(hu)
    yield "a quarter as fine", block_mean(block_mean(hu))
    for low, high in SOUND_CLIPS:
        yield f"clipped to {low}, {high}", np.clip(hu, low, high)
    for value in PADDINGS:
        yield f"round field of view, {value} outside", padded(hu, value)
    for value in (-1000, -1024, 0):
        yield f"old padding replaced by {value}", np.where(hu < -1100, value, hu).astype(np.int16)
        yield f"outside of the body {value}", np.where(_body(hu), hu, value).astype(np.int16)
    wide = np.full((2 * hu.shape[0], 2 * hu.shape[1], hu.shape[2]), -1000, np.int16)
    wide[: hu.shape[0], : hu.shape[1]] = hu.clip(-1024)
    yield "field of view twice as wide", wide
    yield "field of view twice as wide, noise", int16(wide + rng.normal(0, 15, wide.shape))
    metal = hu.copy()
    x, y, _ = (n // 2 for n in hu.shape)
    metal[x - 4 : x + 4, y - 4 : y + 4] = 20000
    yield "a rod of metal", metal
    yield from crops(hu)


def _body(hu: np.ndarray) -> np.ndarray:
    tissue = ndimage.binary_opening(hu > -300)
    return np.stack([ndimage.binary_fill_holes(part) for part in np.moveaxis(tissue, 2, 0)], axis=2)


def crops(hu: np.ndarray) -> Iterator[Form]:
    """Halves, eighths, the middle and a slab."""
    x, y, z = (n // 2 for n in hu.shape)
    yield "left half", hu[:x]
    yield "right half", hu[x:]
    yield "back half", hu[:, :y]
    yield "front half", hu[:, y:]
    yield "lower half", hu[:, :, :z]
    yield "upper half", hu[:, :, z:]
    for corner in np.ndindex(2, 2, 2):
        part = tuple(slice(n) if c == 0 else slice(n, None) for n, c in zip((x, y, z), corner, strict=True))
        yield f"eighth {corner}", hu[part]
    yield "middle half along each axis", hu[x // 2 : x + x // 2, y // 2 : y + y // 2, z // 2 : z + z // 2]
    yield "three slices", hu[:, :, z : z + 3]


def wrong(hu: np.ndarray) -> Iterator[Form]:
    """Yield every form whose values are not HU; the first word of its name is its kind."""
    exact = hu.astype(np.float32)
    yield "intercept forgotten (+1024)", int16(exact + 1024)
    yield "intercept forgotten, unsigned", int16(np.maximum(exact + 1024, 0))
    for value in (-2000, 0):
        yield f"intercept forgotten, {value} outside", padded(int16(exact + 1024), value)
    yield "intercept twice (-1024)", int16(exact - 1024)
    yield "intercept twice, -2048 outside", padded(int16(exact - 1024), -2048)
    limits = {"12 bits": (-1024, 3071), "-1000, 1000": (-1000, 1000), "its range": (exact.min(), exact.max())}
    for name, (low, high) in limits.items():
        for to in ((0, 1), (-1, 1), (0, 255), (0, 4095)):
            yield f"{name} scaled to {to[0]}..{to[1]}", int16(scaled(hu, low, high, to))
    within = np.clip(exact, -1000, 1000)
    yield "z-scores", int16((exact - exact.mean()) / exact.std())
    yield "z-scores of clipped values", int16((within - within.mean()) / within.std())
    for low, high in WINDOWS:
        yield f"window {low}, {high}", hu.clip(low, high)
        yield f"window {low}, {high} to 0..255", int16(scaled(hu, low, high, (0, 255)))
        yield f"window {low}, {high} to 0..1", int16(scaled(hu, low, high, (0, 1)))
    yield "window -160, 240, padded with -1024", padded(hu.clip(-160, 240), -1024)
    yield from _arithmetic(hu, exact)


def _arithmetic(hu: np.ndarray, exact: np.ndarray) -> Iterator[Form]:
    for factor in (0.1, 0.5, 3, 10):
        yield f"scale {factor}", int16(exact * factor)
    for slope, intercept in ((0.5, -1024), (1, -8192), (4, -1024)):
        yield f"slope {slope} and intercept {intercept} applied twice", int16(slope * exact + intercept)
    yield "sign inverted", int16(-exact)
    yield "raw values of CT-RATE v1 (+8192)", int16(exact + 8192)
    yield "int16 read as uint16", int16(hu.astype(np.uint16).astype(np.float32))
    yield "int16 overflow (+32000)", (hu.astype(np.int32) + 32000).astype(np.int16)
    yield "int8 overflow", hu.astype(np.int8).astype(np.int16)
    yield "uint8 overflow", hu.astype(np.uint8).astype(np.int16)
    yield "bytes swapped", hu.byteswap()
    noise = np.random.default_rng(1).normal(0, 40, hu.shape)
    yield "magnetic resonance", int16(np.abs(np.where(exact < -300, 0, np.where(exact < -20, 700, 300)) + noise))
