"""The images of patients that a page shows on demand: the hardest cases, and what the best cell outlined in them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cli import output
from orchestration.report_source import Gathered
from uniferum.errors import UniferumError
from uniferum.report.records import CellRecord
from uniferum.systems import predicts_masks

if TYPE_CHECKING:
    from uniferum.evaluation.masks import ModelMasks
    from uniferum.report.site.cases import Pictures


def pictures(found: Gathered, root: Path) -> "Pictures":
    """The hardest cases with their stores, and the model's masks of them.

    Args:
        found: the cells of the report.
        root: the folder of prepared stores.

    Raises:
        UniferumError: a cell's predictions are unreadable, or a scan is.
    """
    from uniferum.report.site.cases import Pictures, hardest, open_stores

    cases, stores = hardest(found.records), open_stores(root)
    keys = [(case.cohort, case.scan_id) for case in cases if case.cohort in stores]
    return Pictures(cases, stores, _masks(found, stores, keys))


def _masks(found: Gathered, stores: dict, keys: Sequence[tuple[str, str]]) -> "ModelMasks | None":
    from uniferum.evaluation.masks import ModelMasks
    from uniferum.run.masks import model_masks

    for record, folder in outliners(found.records, found.cells):
        output.say(f"{record.name} outlines organs in {len(keys)} cases")
        try:
            masks = model_masks(folder, stores, keys)
        except UniferumError as error:
            output.say(f"{record.name} cannot be asked: {error}")
            continue
        if masks:
            step = record.result.get("best_step")
            trained = "" if "SEG" in record.train_on else " It was trained without masks."
            return ModelMasks(
                f"The model's masks are those of {record.name} (best checkpoint, step {step}).{trained}", masks
            )
    return None


def outliners(records: Iterable[CellRecord], cells: Path | None) -> list[tuple[CellRecord, Path]]:
    """Cells that predict masks and have a checkpoint here: those trained on masks first, then by validation AUROC.

    Args:
        records: finished cells.
        cells: where a grid keeps its cells, for records that were read from elsewhere.
    """
    found = []
    for record in records:
        mark = str(record.result.get("training_fingerprint"))[:8]
        renamed = sorted(cells.glob(f"*-{mark}")) if cells else []  # under an earlier name
        places = [record.folder, *([cells / f"{record.name}-{mark}", *renamed] if cells else ())]
        folder = next((place for place in places if (place / "checkpoints" / "best").exists()), None)
        if folder is not None and predicts_masks(record.model):
            found.append((record, folder))
    return sorted(found, key=lambda one: ("SEG" not in one[0].train_on, -_selected(one[0])))


def _selected(record: CellRecord) -> float:
    return float((record.result.get("selection") or {}).get("value") or 0)
