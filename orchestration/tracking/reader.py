"""Write a finished cell's results to its spool, and read finished cells from MLflow for the report.

A cell's run in MLflow holds the same files as its folder, so the report makes the same table from either.
"""

import atexit
import functools
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from orchestration.attempt.spool import append
from orchestration.grid.records import CellFolder
from orchestration.grid.states import RunStatus
from orchestration.grid.unsent import result_is_spooled, result_mark
from orchestration.tracking import server as mlflow_server
from orchestration.tracking.uploader import CELL_TAG
from uniferum.atomic import write_json
from uniferum.errors import StateError, UniferumError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from uniferum.report.records import CellRecord as ReportRecord

FILES = (
    *("config.yaml", "axes.json", "environment.json", "metrics.parquet", "predictions.parquet"),
    *("validation_predictions.parquet",),
    *("mask_metrics.parquet", "masks.parquet", "steps.jsonl", "result.json"),
)


def spool_result(record: CellFolder) -> None:
    """Add a finished cell's metrics, files and fingerprints to its spool, once per result."""
    result = record.result()
    assert result is not None, "only finished cells have results"
    if result_is_spooled(record):
        return
    mark = result_mark(record)
    values = dict(_group_metrics(result)) | dict(_label_metrics(record)) | dict(_row_metrics(result))
    values |= _mask_metrics(record)
    step = int(result.get("best_step") or result.get("steps") or 0)
    tags = {
        "uniferum.training_fingerprint": str(result.get("training_fingerprint")),
        "uniferum.evaluation_fingerprint": str(result.get("evaluation_fingerprint")),
        "mlflow.source.git.commit": str(result.get("git_commit") or "unknown"),
        "mlflow.source.name": "uniferum grid run",
    }
    for name in FILES:
        if (record.folder / name).exists():
            append(record.folder, {"artifact": name})
    if record.log.exists():
        append(record.folder, {"artifact": record.log.name})
    append(record.folder, {"step": step, "time": mark["result_time"], "metrics": values, "final": True})
    append(record.folder, {"tags": tags, "status": RunStatus.FINISHED})
    write_json(record.folder / "spooled.json", mark)


def _group_metrics(result: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for group in result.get("groups", ()):
        if group.get("value") is not None and math.isfinite(group["value"]):
            yield f"test/{_cohort(group)}/{group['group']}/{group['metric']}", float(group["value"])


def _cohort(row: Mapping[Any, Any]) -> str:
    """Cohort of a score as MLflow allows it in names: ``CTRATE/refined`` for the label set ``CTRATE [refined]``."""
    from uniferum.data.label_sets import set_of

    return "/".join(set_of(str(row["cohort"])) or (str(row["cohort"]),))


def _row_metrics(result: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Training rows by cohort, kind and label, for masks also the number wanted: ``rows/INSPECT/organ_wanted``, ..."""
    rows = result.get("rows") or {}
    for cohort, kinds in rows.get("labels", {}).items():
        labels = kinds.get("classification", {})
        for target in ("positive", "negative") if labels else ():
            yield f"rows/{cohort}/{target}", float(sum(counts[target] for counts in labels.values()))
            yield from ((f"rows/{cohort}/{target}/{label}", float(counts[target])) for label, counts in labels.items())
        structures = ((kind, one, count) for kind in ("organ", "nodule") for one, count in kinds.get(kind, {}).items())
        yield from ((f"rows/{cohort}/{kind}/{one}", float(count)) for kind, one, count in structures)
    for masks in rows.get("masks", ()):
        name = f"rows/{masks['cohort']}/{masks['kind']}"
        for key, value in (("", "found"), ("_wanted", "wanted"), ("_scans_without_masks", "without_masks")):
            yield f"{name}{key}", float(masks[value])


def _label_metrics(record: CellFolder) -> Iterator[tuple[str, float]]:
    if not record.files.metrics.exists():
        return
    import pandas as pd

    for row in pd.read_parquet(record.files.metrics).to_dict(orient="records"):
        for metric in ("auroc", "aupr"):
            value = row.get(metric)
            if value is not None and math.isfinite(value):
                yield f"test/{_cohort(row)}/{row['group']}/{metric}/{row['label']}", float(value)


def _mask_metrics(record: CellFolder) -> dict[str, float]:
    """Mask metrics, named by :func:`uniferum.evaluation.mask_scores.metric_values`."""
    if not record.files.masks.exists():
        return {}
    import pandas as pd

    from uniferum.evaluation.mask_scores import metric_values, score_masks

    return metric_values(score_masks(pd.read_parquet(record.files.masks)), "test")


# -- reading ----------------------------------------------------------------------------------------------------------


def reading_uri(root: Path, uri: str | None = None) -> str:
    """Address to read from: the configured server, the grid's own running server, or else the database file.

    Raises:
        StateError: there is none.
    """
    configured = mlflow_server.configured_uri(uri)
    if configured is not None:
        return configured
    running = mlflow_server.find(root)
    if running is not None:
        return running.uri
    database = root / mlflow_server.DATABASE
    if not database.exists():
        cure = "Run the grid first, set MLFLOW_TRACKING_URI, or read folders with --from."
        raise StateError(f"There is no MLflow database {database}", cure=cure)
    return f"sqlite:///{database.resolve()}"


def read_mlflow(uri: str, grid: str, cache: Path | None = None) -> "list[ReportRecord]":
    """Read every finished cell of a grid from MLflow.

    Args:
        uri: address of a server, or of a database that no server has open.
        grid: name of the grid, which is the name of the MLflow experiment.
        cache: download folder for the files of a remote server; default: a temporary folder until this process ends.

    Raises:
        UniferumError: the server has no such grid.
        StateError: the server does not answer, or rejects the request.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    try:
        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(grid)
        if experiment is None:
            names = ", ".join(sorted(e.name for e in client.search_experiments()))
            cure = f"it has: {names}. `uniferum grid run` sends what waits in the cells' folders; --from reads it there"
            raise UniferumError("grid", grid, must=f"be an experiment of {uri}", cure=cure)
        runs = list(_finished_runs(client, experiment.experiment_id))
    except MlflowException as error:
        reason = " ".join(str(error).split())[:160]
        raise StateError(f"MLflow at {uri} failed: {reason}", cure="Or read folders with --from.") from None
    folder = functools.cache(_temporary_folder if cache is None else lambda: cache)
    return [_read_run(client, run, uri, folder) for run in runs]


def _temporary_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="uniferum-mlflow-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # records read their files when they are asked for them
    return folder


def _finished_runs(client: "MlflowClient", experiment: str) -> "Iterator[Run]":
    token = None
    while True:
        page = client.search_runs(
            [experiment], "tags.`uniferum.kind` = 'cell' and attributes.status = 'FINISHED'", page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def _read_run(client: "MlflowClient", run: "Run", uri: str, cache: Callable[[], Path]) -> "ReportRecord":
    from uniferum.report.read_records import read_cell

    source = f"{uri} run {run.info.run_id}"
    return read_cell(_files_of(client, run, cache), source)


def _files_of(client: "MlflowClient", run: "Run", cache: Callable[[], Path]) -> Path:
    """Folder with the run's files: the original if this machine can read it, else a download into ``cache()``."""
    artifacts = urlparse(run.info.artifact_uri or "")
    if artifacts.scheme == "file" and Path(unquote(artifacts.path)).is_dir():
        return Path(unquote(artifacts.path))
    folder = cache() / run.data.tags.get(CELL_TAG, run.info.run_id)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    for name in FILES:
        if name in paths:
            client.download_artifacts(run.info.run_id, name, str(folder))
    end_s = (run.info.end_time or 0) / 1000
    if (folder / "result.json").exists():
        os.utime(folder / "result.json", (end_s, end_s))
    return folder
