"""Ensembles: rows of the report that average the logits of cells, case by case.

An ensemble is made when the report is, from the prediction files of its members, and nothing is trained. Its scores and
intervals are those of one cell with these predictions. They are kept in a folder, because bootstrap intervals take
time, and made again when a prediction file of a member has other content.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from uniferum.atomic import write_atomically, write_json
from uniferum.errors import UniferumError
from uniferum.evaluation.comparison import align
from uniferum.evaluation.metrics import DRAWS, check_predictions, score_predictions
from uniferum.evaluation.prediction_file import write_predictions
from uniferum.report.records import MIXES, CellRecord, PendingCell, mix_name
from uniferum.run_files import RESULT_FORMAT, RunFiles

VERSION = 2
"""Increased when the same predictions give other scores than before."""
CASE = ("cohort", "group", "label", "volume_id")
AN_ENSEMBLE = "an ensemble of cells"
"""Why no published value stands beside an ensemble."""


def average_logits(members: Sequence[CellRecord]) -> pd.DataFrame:
    """Average the scores (logits) of cells case by case: the table of the first with the mean as score.

    Args:
        members: finished cells, each with its own name.

    Raises:
        UniferumError: they were scored on other cases or labels, or a target differs; or a file is unreadable.
    """
    tables = {one.name: check_predictions(one.predictions()) for one in members}
    try:
        align(tables)
    except UniferumError as error:
        names = ", ".join(tables)
        cure = "name cells with the same test cases and labels, or score them again (uniferum grid evaluate)"
        raise UniferumError(f"ensemble of {names}: {error.subject}", error.value, must=error.must, cure=cure) from None
    first, *_ = tables.values()
    cases = _cases(first)
    scores = [
        pd.Series(table["score"].to_numpy(dtype=np.float64), _cases(table)).reindex(cases).to_numpy()
        for table in tables.values()
    ]
    return first.assign(score=np.mean(scores, axis=0)).reset_index(drop=True)


def _cases(table: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays([table[name].astype(str) for name in CASE])


def ensemble(name: str, members: Sequence[CellRecord], folder: Path, *, draws: int = DRAWS) -> CellRecord:
    """Make an ensemble of finished cells, or read it from its folder.

    Args:
        name: of its row.
        members: finished cells.
        folder: where its predictions and scores are kept.
        draws: number of bootstrap draws.

    Raises:
        UniferumError: see :func:`average_logits`.
    """
    files, made_of = RunFiles(folder), _made_of(members, draws)
    result = _read(files.result)
    if result is None or result.get("made_of") != made_of:
        result = _write(name, members, files, made_of, draws)
    encoder, mix = _common(members)
    return CellRecord(
        name,
        name,
        encoder,
        tuple(mix.split("+")),
        0,
        folder,
        result,
        source=str(folder),
        other_system=AN_ENSEMBLE,
        phantoms=any(one.phantoms for one in members),
        untested={name: command for one in members for name, command in one.untested.items()},
        members=tuple(members),
    )


def incomplete(
    name: str, members: Sequence[CellRecord | PendingCell], ready: Sequence[CellRecord], why: str, command: str
) -> PendingCell:
    """An ensemble that lacks predictions of members.

    Args:
        name: of its row.
        members: all members.
        ready: those whose predictions can be averaged.
        why: what the others lack.
        command: makes it complete.
    """
    encoder, mix = _common(members)
    reason = f"{len(ready)} of {len(members)} members: {why}"
    return PendingCell(
        name,
        name,
        encoder,
        mix,
        0,
        reason,
        command,
        other_system=AN_ENSEMBLE,
        phantoms=any(one.phantoms for one in members),
        members=tuple(one.name for one in members),
        rows_of_members=tuple(one.row for one in members),
    )


def _common(members: Sequence[CellRecord | PendingCell]) -> tuple[str, str]:
    """The text encoder that all members have, else none, and all cohorts that any of them was trained on."""
    encoders = {one.text_encoder for one in members}
    mixes = {one.mix for one in members}
    order = dict.fromkeys(cohort for mix in (*MIXES, *sorted(mixes)) for cohort in mix.split("+"))
    trained = {cohort for mix in mixes for cohort in mix.split("+")}
    return (encoders.pop() if len(encoders) == 1 else ""), mix_name(one for one in order if one in trained)


def _made_of(members: Sequence[CellRecord], draws: int) -> dict[str, Any]:
    """What an ensemble is made of: the content of its members' prediction files."""
    return {"version": VERSION, "draws": draws, "predictions": {one.name: _digest(one) for one in members}}


def _digest(member: CellRecord) -> str:
    path = member.files.predictions
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        raise UniferumError(str(path), must="be a readable file", cure=f"evaluate {member.name} again") from None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) and result.get("format") == RESULT_FORMAT else None


def _write(
    name: str, members: Sequence[CellRecord], files: RunFiles, made_of: Mapping[str, Any], draws: int
) -> dict[str, Any]:
    first, predictions = members[0], average_logits(members)
    splits = {cohort: word.model_dump(mode="json") for cohort, word in first.test_splits.items()}
    scores = score_predictions(predictions, first.label_reasons, draws=draws)
    flagged = {(score.cohort, score.group): dict(score.flagged) for score in first.groups}
    groups = [
        {key: _plain(value) for key, value in row.items()} | {"flagged": flagged.get((row["cohort"], row["group"]), {})}
        for row in scores.groups.to_dict(orient="records")
    ]
    result = {
        "format": RESULT_FORMAT,
        "name": name,
        "members": [one.name for one in members],
        "made_of": made_of,
        "train_on": _common(members)[1].split("+"),
        "evaluate_on": list(first.result.get("evaluate_on") or ()),
        "groups": groups,
        "test_splits": splits,
    }
    files.result.unlink(missing_ok=True)
    write_atomically(files.predictions, lambda path: write_predictions(path, predictions, splits))
    write_atomically(files.metrics, lambda path: scores.labels.to_parquet(path, index=False))
    write_json(files.result, result)
    return result


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
