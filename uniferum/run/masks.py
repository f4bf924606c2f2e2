"""Predict masks of prepared scans for display.

The model predicts masks at the resolution of its targets (d / u voxels per side, paper 3.2); they are enlarged to the
grid of the training level. Where structures overlap, the one with the highest probability is shown.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8

from uniferum.data.loading.resample import resample_image, resample_mask
from uniferum.data.loading.targets import TargetGrid
from uniferum.data.vocabulary import TOTALSEGMENTATOR, Structure, Vocabulary
from uniferum.evaluation.masks import CaseKey, CaseMasks, Outlined, dice
from uniferum.preprocessing.store.store import Store
from uniferum.run.ask import Trained

SHOWN = ("lungs", "heart", "aorta", "trachea", "liver", "stomach", "thoracic_vertebrae", "sternum")
"""Structures that are easy to recognise and do not overlap; only those in a scan's mask layer are requested."""


def model_masks(
    checkpoint: Path, stores: Mapping[str, Store], cases: Iterable[CaseKey], *, device: str | None = None
) -> dict[CaseKey, CaseMasks]:
    """Predict masks of the cases whose store has organ masks; empty if the model predicts none.

    Args:
        checkpoint: a cell's folder, or one of its checkpoints.
        stores: the prepared store of each cohort.
        cases: cohort and scan id.
        device: the torch device; default: the first GPU, else the CPU.

    Raises:
        UniferumError: no checkpoint, a damaged one, or a scan that cannot be read.
    """
    trained = Trained.load(checkpoint, device=device)
    by_case = {}
    for cohort, scan_id in cases:
        store = stores[cohort]
        if store.geometry != trained.geometry or TOTALSEGMENTATOR not in store.layers(scan_id):
            continue
        made = case_masks(trained, store, scan_id)
        if made is not None:
            by_case[cohort, scan_id] = made
    return by_case


def case_masks(trained: Trained, store: Store, scan_id: str) -> CaseMasks | None:
    """Predict the masks of one prepared scan; ``None`` if the model predicts none or no structure is present."""
    stored = store.read_mask(scan_id, TOTALSEGMENTATOR, "train")
    present = set(np.unique(stored).tolist())
    structures = [one for one in map(Vocabulary.load().structures.__getitem__, SHOWN) if present & set(one.ids)]
    logits = _logits(trained, store, scan_id, structures) if structures else None
    if logits is None:
        return None
    geometry, model = trained.geometry, trained.model
    grid = TargetGrid.of(geometry.model_shape, model.tokens_shape, model.patch)
    volumes = np.stack([grid.from_patches(one) for one in logits])
    seen = []
    for one, volume in zip(structures, volumes, strict=True):
        members = np.isin(np.arange(256), one.ids).astype(np.uint8)
        target = resample_mask(stored, members, None, geometry, level="train", pool=grid.pool)
        seen.append(Outlined(one.name, one.ids[0], one.ids, dice(volume > 0, target)))
    return CaseMasks(TOTALSEGMENTATOR, _on_level(volumes, seen, grid.pool, geometry.level_margin), tuple(seen))


@torch.inference_mode()
def _logits(
    trained: Trained, store: Store, scan_id: str, structures: Sequence[Structure]
) -> Float[np.ndarray, "S P U"] | None:
    level = trained.level
    hu = store.read(scan_id, "full" if level == "full" else "train")
    volume = torch.from_numpy(resample_image(hu, None, trained.geometry, level=level))[None, None]
    device = trained.compute.device
    with trained.compute.autocast():
        output = trained.model.read(
            trained.model.encode(volume.to(device)),
            torch.zeros(len(structures), dtype=torch.int64, device=device),
            [one.prompt for one in structures],
            [one.id for one in structures],
        )
    return None if output.mask_logit is None else output.mask_logit.float().cpu().numpy()


def _on_level(
    logits: Float[np.ndarray, "S X Y Z"], structures: Sequence[Outlined], pool: int, margin: tuple[int, int, int]
) -> UInt8[np.ndarray, "x y z"]:
    """The most probable structure of each voxel, enlarged to the training level and padded outside the crop."""
    values = np.array([one.value for one in structures], dtype=np.uint8)
    chosen = np.where(logits.max(axis=0) > 0, values[logits.argmax(axis=0)], 0).astype(np.uint8)
    for axis in range(3):
        chosen = chosen.repeat(pool, axis=axis)
    return np.pad(chosen, [(side, side) for side in margin])
