"""Images of patients for the page of a report: the hardest cases, with the masks that the best cell predicts."""

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


def pictures(source: Gathered, root: Path) -> "Pictures":
    """Collect the hardest cases, their stores, and the masks that a model predicts for them.

    Args:
        source: the cells of the report.
        root: the folder of prepared stores.

    Raises:
        UniferumError: the predictions of a cell or a scan cannot be read.
    """
    from uniferum.report.site.cases import Pictures, hardest, open_stores

    cases, stores = hardest(source.records), open_stores(root)
    keys = [(case.cohort, case.scan_id) for case in cases if case.cohort in stores]
    return Pictures(cases, stores, _masks(source, stores, keys))


def _masks(source: Gathered, stores: dict, keys: Sequence[tuple[str, str]]) -> "ModelMasks | None":
    from uniferum.evaluation.masks import ModelMasks
    from uniferum.run.masks import model_masks

    for record, folder in mask_models(source.records, source.cells):
        output.say(f"{record.name}: predicting organ masks of {len(keys)} cases")
        try:
            masks = model_masks(folder, stores, keys)
        except UniferumError as error:
            output.say(f"{record.name} cannot predict masks: {error}")
            continue
        if masks:
            step = record.result.get("best_step")
            trained = "" if "SEG" in record.train_on else " It was trained without masks."
            return ModelMasks(
                f"The model's masks are those of {record.name} (best checkpoint, step {step}).{trained}", masks
            )
    return None


def mask_models(records: Iterable[CellRecord], cells: Path | None) -> list[tuple[CellRecord, Path]]:
    """Find cells that predict masks and have a checkpoint here: those trained on masks first, then by validation AUROC.

    Args:
        records: finished cells.
        cells: the folder of a grid's cells, for records that were read from MLflow or another folder.
    """
    trained = []
    for record in records:
        mark = str(record.result.get("training_fingerprint"))[:8]
        renamed = sorted(cells.glob(f"*-{mark}")) if cells else []  # under an earlier name
        folders = [record.folder, *([cells / f"{record.name}-{mark}", *renamed] if cells else ())]
        folder = next((one for one in folders if (one / "checkpoints" / "best").exists()), None)
        if folder is not None and predicts_masks(record.model):
            trained.append((record, folder))
    return sorted(trained, key=lambda one: ("SEG" not in one[0].train_on, -_validation_auroc(one[0])))


def _validation_auroc(record: CellRecord) -> float:
    return float((record.result.get("selection") or {}).get("value") or 0)
