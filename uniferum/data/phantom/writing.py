"""Write phantom cohorts: scans by any number of workers, then the tables, then the mark of a finished folder."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from shutil import rmtree

import numpy as np

from uniferum.config import fingerprint
from uniferum.data.phantom import files
from uniferum.data.phantom.config import PhantomConfig
from uniferum.data.phantom.layout_duke import rad_chest_orders, rad_chest_tables
from uniferum.data.phantom.layouts import (
    FOLDERS,
    Order,
    ct_rate_orders,
    ct_rate_tables,
    inspect_orders,
    inspect_tables,
    luna16_orders,
    luna16_tables,
)
from uniferum.data.provenance import PHANTOM_MARK
from uniferum.errors import UniferumError

FORMAT = 2
"""Increased whenever the drawing changes, so that old phantoms are replaced."""

ORDERS = {
    "CTRATE": ct_rate_orders,
    "INSPECT": inspect_orders,
    "RADCHEST": rad_chest_orders,
    "LUNA16": luna16_orders,
}
TABLES = {"CTRATE": ct_rate_tables, "INSPECT": inspect_tables, "RADCHEST": rad_chest_tables, "LUNA16": luna16_tables}
CHUNK = 16


def write_phantoms(
    out: Path, config: PhantomConfig, workers: int = 1, *, progress: Callable[[int, int], None] | None = None
) -> bool:
    """Write all phantom cohorts below ``out``; files of an earlier call with the same settings are kept.

    Args:
        out: a new folder, or one that this function wrote.
        config: numbers per cohort and seed.
        workers: number of processes; the voxels do not depend on it.
        progress: called with the numbers of existing scans and of all scans.

    Returns:
        whether anything was written.

    Raises:
        UniferumError: ``out`` contains files that are not phantoms.
    """
    identity = fingerprint({"format": FORMAT, "config": config})
    if not _prepare_folder(out, identity):
        return False
    orders = {cohort: make(config) for cohort, make in ORDERS.items()}
    every = [order for cohort in orders.values() for order in cohort]
    due = [order for order in every if not _is_written(out, order)]
    existing = len(every) - len(due)
    if progress is not None:
        progress(existing, len(every))
    for count in _written(out, config, due, workers):
        existing += count
        if progress is not None:
            progress(existing, len(every))
    for cohort, make in TABLES.items():
        make(out / FOLDERS[cohort], config, orders[cohort])
    _mark(out, identity, done=True)
    return True


def write_scan(out: Path, config: PhantomConfig, order: Order) -> None:
    """Write one scan and its mask; the mask first, so that an existing volume is a finished scan."""
    root = out / FOLDERS[order.cohort]
    case, acquisition = order.draw(config)
    rendered = acquisition.scan(case.spec)
    hu, affine, mask = rendered.volume.hu, rendered.volume.affine, rendered.masks["totalsegmentator"]
    if order.cohort == "RADCHEST":
        # As released: axes to inferior, posterior, left; clipped; without affine, origin at voxel 0.
        hu, turned = files.reoriented(np.clip(hu, -1000, 1000).astype(np.int16), affine, "IPL")
        turned[:3, 3] = 0.0
        files.write_nifti(root / order.mask, files.reoriented(mask, affine, "IPL")[0], turned)
        files.write_npz(root / order.volume, ct=hu)
        return
    orientation = "RAS" if order.cohort == "LUNA16" else acquisition.orientation
    files.write_nifti(root / order.mask, *files.reoriented(mask, affine, orientation))
    if order.cohort == "LUNA16":
        files.write_metaimage(root / order.volume, hu, affine, turned=acquisition.padded)
        return
    if order.cohort == "CTRATE" and acquisition.padded:
        hu = files.with_padding(hu)
    files.write_nifti(root / order.volume, *files.reoriented(hu, affine, orientation))


def _write_chunk(out: Path, config: PhantomConfig, orders: tuple[Order, ...]) -> int:
    for order in orders:
        write_scan(out, config, order)
    return len(orders)


def _written(out: Path, config: PhantomConfig, orders: list[Order], workers: int) -> Iterator[int]:
    """Write the scans and yield their number, chunk by chunk."""
    chunks = [tuple(orders[i : i + CHUNK]) for i in range(0, len(orders), CHUNK)]
    if workers <= 1 or len(chunks) <= 1:
        for chunk in chunks:
            yield _write_chunk(out, config, chunk)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(_write_chunk, out, config, chunk) for chunk in chunks]
        for future in futures:
            yield future.result()


def _is_written(out: Path, order: Order) -> bool:
    return (out / FOLDERS[order.cohort] / order.volume).exists()


def _prepare_folder(out: Path, identity: str) -> bool:
    """Prepare the folder; False if it is finished already. Phantoms of other settings are removed."""
    mark = out / PHANTOM_MARK
    if mark.exists():
        mark_content = json.loads(mark.read_text())
        if mark_content["identity"] == identity:
            return not mark_content["done"]
        for folder in {Path(folder).parts[0] for folder in FOLDERS.values()}:
            rmtree(out / folder, ignore_errors=True)
    elif out.exists() and any(out.iterdir()):
        raise UniferumError(str(out), must="be empty or contain phantoms", cure="use another folder")
    _mark(out, identity, done=False)
    return True


def _mark(out: Path, identity: str, *, done: bool) -> None:
    files.write_text(out / PHANTOM_MARK, json.dumps({"identity": identity, "done": done}))
