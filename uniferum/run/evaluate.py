"""Score a trained run: predict with the best weights, compute metrics, and write ``result.json`` last."""

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from uniferum.atomic import write_atomically, write_json, write_text
from uniferum.data.flag_counts import count_flags
from uniferum.data.label_sets import set_of
from uniferum.errors import UniferumError
from uniferum.evaluation.mask_words import mask_note
from uniferum.evaluation.metrics import score_predictions
from uniferum.evaluation.prediction_file import write_predictions
from uniferum.model.base import Model
from uniferum.model.parameters import count_parameters
from uniferum.preprocessing.flags import doubtful
from uniferum.run.build import Workbench, open_workbench
from uniferum.run.config import RunConfig, resolved_yaml
from uniferum.run.identity import Fingerprints, Reading
from uniferum.run.identity_keys import scoring_keys, with_label_files
from uniferum.run.input_grid import input_record
from uniferum.run.result import RunResult, environment, plain, read_result
from uniferum.run.score_masks import ScoredMasks, mask_counter, scored_masks, write_masks
from uniferum.run.scored_tasks import Predicted, predict_scored, scored_tasks
from uniferum.run.stores import SELECTION_SPLIT, TEST_SPLIT, TRAINING_SPLIT, Stores
from uniferum.run.trained_rows import row_record
from uniferum.run.validation import predict_validation, write_validation
from uniferum.run_files import RESULT_FORMAT, RunFiles
from uniferum.systems import reads_text
from uniferum.training.checkpoint import load_weights, read_card
from uniferum.training.errors import Interrupted
from uniferum.training.parallel import Workers
from uniferum.training.precision import choose_compute
from uniferum.training.reporter import Reporter
from uniferum.training.state import TrainingProgress


def evaluate_run(
    config: RunConfig,
    stores: Stores,
    folder: Path | str,
    reporter: Reporter | None = None,
    *,
    stop: Callable[[], bool] | None = None,
    alive: Callable[[], None] | None = None,
    device: str | None = None,
) -> RunResult:
    """Predict and score the test splits again, without training.

    Args:
        config: the run; its ``evaluate_on`` may differ from the earlier evaluation.
        stores: the prepared store of every cohort that the run names.
        folder: the run's folder, with a best checkpoint.
        reporter: receives the files that are written.
        stop: called between batches by a single worker; when it returns true, ``Interrupted`` is raised.
        alive: called between batches, as a heartbeat.
        device: the torch device; default: the first GPU, else the CPU.

    Raises:
        Interrupted: ``stop`` returned true; the old record is unchanged.
        UniferumError: no best checkpoint, one of another config, or a missing store.

    Examples:
        >>> import uniferum
        >>> result = uniferum.evaluate_run(config, stores, run_folder, device="cpu")
        >>> result.record["evaluate_on"]
        ['CTRATE', 'RADCHEST']
    """
    files = RunFiles(Path(folder))
    card = read_card(files.best)
    identity = Reading(stores).of_run(config, card["fingerprint"])
    if card["fingerprint"] != identity.training:
        raise UniferumError(
            str(files.best),
            f"run {card['name']}, fingerprint {card['fingerprint']}",
            must=f"be of run {config.name}, fingerprint {identity.training}",
            cure="give the folder, config and stores that it was trained with",
        )
    compute = choose_compute(config.training.precision, device, tf32=config.training.tf32)
    bench = open_workbench(config, stores, compute, only_scores=True)
    bench = replace(bench, between=stoppable(bench.workers, files, stop, alive))
    rows = _rows_trained(bench, identity, files)
    write_text(files.config, resolved_yaml(config))
    return score(bench.model(card["labels"], pretrained=False), bench, identity, files, reporter or Reporter(), rows)


def _rows_trained(bench: Workbench, identity: Fingerprints, files: RunFiles) -> Mapping[str, Any]:
    """Return the training rows of a finished run: from its record, else counted again from the same data and seed."""
    done = read_result(files.root)
    if done and done.training_fingerprint == identity.training and "rows" in done.record:
        return done.record["rows"]
    return row_record(bench, bench.training_table(missing_masks="warn"))


def stoppable(
    workers: Workers, files: RunFiles, stop: Callable[[], bool] | None, alive: Callable[[], None] | None
) -> Callable[[], None]:
    """Make the function that is called between batches of a prediction; only a single worker can stop there."""

    def between() -> None:
        if alive is not None:
            alive()
        if workers.size == 1 and stop is not None and stop():
            step = int(read_card(files.last)["progress"]["step"]) if files.last.exists() else 0
            raise Interrupted(step, files.last if step else None)

    return between


def score(
    model: Model,
    bench: Workbench,
    identity: Fingerprints,
    files: RunFiles,
    reporter: Reporter,
    rows: Mapping[str, Any],
) -> RunResult:
    """Predict with the best weights; write predictions, metrics, environment and, last, the record.

    Args:
        model: a model of the run's config; the best checkpoint is loaded into it.
        bench: the opened run.
        identity: the run's fingerprints.
        files: the files of the run's folder.
        reporter: receives the files.
        rows: the result of :func:`uniferum.run.trained_rows.row_record`.
    """
    card = read_card(files.best)
    load_weights(model, files.best)
    tasks = scored_tasks(bench)
    table = tasks.asked
    counter = mask_counter(bench, model, table, TEST_SPLIT) if len(table) else None
    predicted = predict_scored(bench, model, tasks, card["labels"], also=counter) if len(table) else Predicted()
    masks = scored_masks(bench, counter, bench.config.evaluate_on) if counter else None
    validation = predict_validation(bench, model, card["labels"])
    if bench.workers.first:
        groups = _write_scores(predicted.table, bench, files)
        write_validation(validation, files)
        write_masks(masks, files)
        write_json(files.environment, environment())
        scoring = {**_scoring(bench), **({"wordings": plain(predicted.wordings)} if predicted.wordings else {})}
        record = {
            **_record(bench, identity, files, groups, rows),
            "parameters": count_parameters(model),
            **scoring,
            **_mask_record(masks),
        }
        for path in _made(files):
            if path.exists():
                reporter.artifact(path)
        write_json(files.result, record)
        reporter.artifact(files.result)
    bench.workers.wait()
    result = read_result(files.root)
    assert result is not None, "the record has just been written"
    return result


def _made(files: RunFiles) -> tuple[Path, ...]:
    scores = (files.predictions, files.validation_predictions, files.metrics, files.masks, files.mask_metrics)
    return (files.config, *scores, files.environment)


def _scoring(bench: Workbench) -> dict[str, Any]:
    """The entries of the record on the section ``evaluation``; empty at its defaults."""
    digests: dict[str, dict[str, str]] = {}
    for one in bench.label_sets:
        digests.setdefault(one.cohort, {})[one.name] = one.digest
    keys = with_label_files(scoring_keys(bench.config), digests)
    sets = [one.record() for one in bench.label_sets]
    return {**({"evaluation": keys} if keys else {}), **({"label_sets": sets} if sets else {})}


def _mask_record(masks: ScoredMasks | None) -> dict[str, Any]:
    """The entries of the record on masks; empty for a run without ``SEG``."""
    if masks is None:
        return {}
    summary = plain(masks.summary())
    return {"masks": summary, "mask_note": mask_note(summary)}


def _write_scores(predictions: pd.DataFrame, bench: Workbench, files: RunFiles) -> list[dict[str, Any]]:
    if predictions.empty:
        return []
    splits = _test_splits(bench)
    write_atomically(files.predictions, lambda path: write_predictions(path, predictions, splits))
    # Titles of label sets are cohorts of their own in every table.
    cohort_of = {name: name for name in bench.config.evaluate_on} | {one.title: one.cohort for one in bench.label_sets}
    vocabulary_groups = {
        (title, group): labels
        for title, cohort in cohort_of.items()
        for (name, group), labels in bench.cohorts[cohort].vocabulary.groups.items()
        if name == cohort
    }
    scores = score_predictions(predictions, vocabulary_groups)
    write_atomically(files.metrics, lambda path: scores.labels.to_parquet(path, index=False))
    groups = scores.groups.to_dict(orient="records")
    return [{**row, "flagged": _flagged(bench, predictions, row, vocabulary_groups)} for row in groups]


def _flagged(
    bench: Workbench, predictions: pd.DataFrame, row: Mapping[Any, Any], groups: Mapping[tuple[str, str], Any]
) -> dict[str, int]:
    """Count the cases of a group mean with doubtful intensities or orientation, by flag."""
    cohort, labels = row["cohort"], list(groups[row["cohort"], row["group"]])
    part = predictions.loc[(predictions["cohort"] == cohort) & predictions["label"].isin(labels), "scan_id"]
    own, *_ = set_of(cohort) or (cohort,)
    flags_of = bench.cohorts[own].flags_of
    counts = count_flags({scan: doubtful(flags_of[scan]) for scan in part.unique().tolist()})
    return {flag.flag: flag.count for flag in counts}


def _record(
    bench: Workbench,
    identity: Fingerprints,
    files: RunFiles,
    groups: list[dict[str, Any]],
    rows: Mapping[str, Any],
) -> Mapping[str, Any]:
    config = bench.config
    last, best = (
        TrainingProgress.from_json(read_card(checkpoint)["progress"]) for checkpoint in (files.last, files.best)
    )
    made = environment()
    return plain(
        {
            "format": RESULT_FORMAT,
            "name": config.name,
            "training_fingerprint": identity.training,
            "evaluation_fingerprint": identity.evaluation,
            "train_on": config.train_on,
            "evaluate_on": config.evaluate_on,
            "model": config.model.kind,
            "text_encoder": config.model.text.name if reads_text(config.model.kind) else None,
            "seed": config.seed,
            "input": input_record(config),
            "best_step": best.step,
            "selection": {
                "metric": "auroc",
                "value": best.best_value,
                "split": "validation",
                "cohorts": config.selection_cohorts,
            },
            "groups": groups,
            "data": _data(bench),
            "test_splits": _test_splits(bench),
            "rows": rows,
            "flags": _flags(bench),
            "on_wrong_hu": config.data.on_wrong_hu,
            "steps": last.step,
            "seconds": last.seconds,
            "devices": {
                "kind": bench.compute.device.type,
                "names": made["gpus"] or [platform.machine()],
                "workers": bench.workers.size,
                "precision": bench.compute.precision,
                "tf32": bench.compute.tf32,
                "precision_reason": bench.compute.reason,
            },
            "git_commit": made["git_commit"],
            "versions": made["versions"],
            "finished": time.time(),
        }
    )


def _data(bench: Workbench) -> dict[str, str]:
    """Digests of all splits that the run trained or was scored on, to trace a number back to its data."""
    config = bench.config
    trained = {f"{name} train": bench.cohorts[name].digest("train") for name in config.training_cohorts}
    return trained | {f"{name} test": bench.cohorts[name].digest("test") for name in config.evaluate_on}


def _test_splits(bench: Workbench) -> dict[str, Any]:
    """Map cohorts to the description of their test split, where there is one."""
    words = {name: bench.cohorts[name].split_word(TEST_SPLIT) for name in bench.config.evaluate_on}
    return {name: word.model_dump(mode="json") for name, word in words.items() if word is not None}


def _flags(bench: Workbench) -> dict[str, Any]:
    """Map cohort and split to the number of scans, of scans with each flag, and of scans left out of training."""
    config = bench.config
    read = {
        TRAINING_SPLIT: config.trained_stores,
        SELECTION_SPLIT: config.selection_cohorts,
        TEST_SPLIT: config.evaluate_on,
    }
    counted: dict[str, Any] = {}
    for split, names in read.items():
        for name in names:
            cohort = bench.cohorts[name]
            out = cohort.left_out if split == TRAINING_SPLIT else {}
            scans = {**cohort.flags_in(split), **out}
            flags = {flag.flag: flag.count for flag in count_flags(scans)}
            counted.setdefault(name, {})[split] = {"scans": len(scans), "flags": flags, "left_out": len(out)}
    return counted
