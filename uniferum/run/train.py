"""Train one run and score it: from a config and prepared stores to ``result.json``."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from uniferum.atomic import write_json, write_text
from uniferum.data.row_counts import positive_weights
from uniferum.evaluation.metrics import mean_auroc
from uniferum.evaluation.spread import prompt_spread
from uniferum.model.base import Model
from uniferum.model.parameters import parameters_line
from uniferum.run.build import Workbench, open_workbench
from uniferum.run.config import RunConfig, resolved_yaml
from uniferum.run.evaluate import score, stoppable
from uniferum.run.identity import Reading, training_content
from uniferum.run.input_grid import input_warnings
from uniferum.run.result import RunResult, read_result
from uniferum.run.rows import unscored
from uniferum.run.score_masks import mask_counter, validation_metrics
from uniferum.run.stores import SELECTION_SPLIT, Stores
from uniferum.run.trained_rows import mask_rows, row_record
from uniferum.run_files import RunFiles
from uniferum.training.checkpoint import Checkpoints, Identity, read_card
from uniferum.training.loop import SELECTION, Training
from uniferum.training.precision import choose_compute
from uniferum.training.reporter import Fanout, JsonlReporter, Reporter
from uniferum.training.state import TrainingProgress

PROMPT_SPREAD = "validation/prompt_spread"

log = logging.getLogger(__name__)


def train_run(
    config: RunConfig,
    stores: Stores,
    folder: Path | str,
    reporter: Reporter | None = None,
    *,
    stop: Callable[[], bool] | None = None,
    alive: Callable[[], None] | None = None,
    resume: bool = True,
    device: str | None = None,
) -> RunResult:
    """Train a model, select the best checkpoint, predict and score the test splits, and write the record.

    A call after an interruption resumes from the last checkpoint; a call on a finished run returns its record. Where a
    process group of torch.distributed is initialised, its workers share the micro-batches and the volumes to predict.

    Args:
        config: the run.
        stores: the prepared store of every cohort that the run names, and of LUNA16 for ``SEG``.
        folder: the run's folder; shared by all workers.
        reporter: receives params, metrics and files of the first worker, in addition to ``steps.jsonl``.
        stop: called after every step, and by a single worker between the batches of a prediction; when it returns true,
            a checkpoint is written (during a prediction it exists already) and ``Interrupted`` is raised.
        alive: called between the batches of a prediction, as a heartbeat.
        resume: continue from the folder's last checkpoint; False starts again.
        device: the torch device; default: the first GPU, else the CPU.

    Raises:
        Interrupted: ``stop`` returned true.
        NonFiniteLoss: the loss or its gradient became NaN or infinite.
        UniferumError: a store is missing or of another geometry, or the folder holds another run.

    Examples:
        >>> import uniferum
        >>> result = uniferum.train_run(config, stores, run_folder, device="cpu")
        >>> result.record["train_on"], result.record["steps"]
        (['CTRATE'], 2)
    """
    files = RunFiles(Path(folder))
    done = read_result(files.root) if resume else None
    identity = Reading(stores).of_run(config, _recorded(done, files) if resume else None)
    if done and done.evaluation_fingerprint == identity.evaluation:
        return done
    if config.training.threads is not None:
        torch.set_num_threads(config.training.threads)
    bench = open_workbench(config, stores, choose_compute(config.training.precision, device, tf32=config.training.tf32))
    bench = replace(bench, between=stoppable(bench.workers, files, stop, alive))
    table = bench.training_table()
    labels = tuple(sorted(set(table["label"][table["kind"] != "segmentation"])))
    card = Identity(
        name=config.name,
        fingerprint=identity.training,
        config=config.model_dump(mode="json"),
        labels=labels,
        preparation=bench.preparation,
        precision=bench.compute.precision,
    )
    checkpoints = Checkpoints(files.checkpoints, card)
    reached = _reached(checkpoints) if resume else None
    model = bench.model(labels, pretrained=reached is None)
    batches = bench.training_batches(table, model)
    incomplete = [rows.sentence() for rows in mask_rows(bench, table) if rows.incomplete]
    incomplete += [line for name in config.evaluate_on for line in unscored(bench.cohorts[name])]
    listeners = _begin(config, stores, files, reporter, reached or TrainingProgress(), bench, model, incomplete)
    training = Training(
        model=model,
        batches=batches,
        validate=partial(_validate, bench=bench, table=bench.selection_table(), labels=labels),
        config=config.training,
        optim=config.optim,
        seed=config.seed,
        checkpoints=checkpoints,
        reporter=listeners,
        compute=bench.compute,
        workers=bench.workers,
        stop=stop,
        positive_weight=positive_weights(table) if config.optim.positive_weight == "ratio" else {},
    )
    training.run(resume=resume)
    return score(model, bench, identity, files, listeners, row_record(bench, table))


def _recorded(done: RunResult | None, files: RunFiles) -> object:
    """The training fingerprint of the folder's record, else of its last checkpoint; None where there is neither."""
    if done is not None:
        return done.training_fingerprint
    return read_card(files.last)["fingerprint"] if files.last.exists() else None


def _reached(checkpoints: Checkpoints) -> TrainingProgress | None:
    """Read the progress of the last checkpoint, None if there is none; another run's folder is refused."""
    if not checkpoints.last.exists():
        return None
    card = read_card(checkpoints.last)
    checkpoints.refuse_stranger(card)
    return TrainingProgress.from_json(card["progress"])


def _begin(
    config: RunConfig,
    stores: Stores,
    files: RunFiles,
    reporter: Reporter | None,
    reached: TrainingProgress,
    bench: Workbench,
    model: Model,
    incomplete: Sequence[str],
) -> Reporter:
    """Write the resolved config and rewind the step log to the last checkpoint.

    Called after everything that may fail was built. An old record is removed only where training steps remain; a new
    record replaces it otherwise. Log warnings for stores of another preset, for scans that are left out, and for
    ``incomplete``: mask rows, and labels to score.
    """
    log.info("computing in %s", bench.compute.reason)
    log.info("%s", parameters_line(config.model.kind, model))
    for line in (*bench.preset_lines(), *bench.left_out_lines(), *input_warnings(config), *incomplete):
        log.warning("%s", line)
    if not bench.workers.first:
        return Fanout(())
    lines = JsonlReporter(files.root)
    lines.rewind(reached.step, validated=len(reached.history) >= config.training.validations(reached.step))
    if reached.step < config.training.steps:
        files.result.unlink(missing_ok=True)
    write_text(files.config, resolved_yaml(config))
    write_json(files.identity, training_content(config, stores))
    listeners = Fanout([lines, *([reporter] if reporter else [])])
    listeners.params(config.model_dump(mode="json"))
    return listeners


def _validate(model: Model, *, bench: Workbench, table: pd.DataFrame, labels: tuple[str, ...]) -> dict[str, float]:
    """Return the mean AUROC over the selection tasks, in total and by cohort, and the scores of the masks.

    NaN if no label has both classes. The spread of the answers about one volume between prompts is returned too: it
    shows a model that ignores the prompts.
    """
    if table.empty:
        return {SELECTION: math.nan}
    counter = mask_counter(bench, model, table, SELECTION_SPLIT, most=bench.config.training.mask_scans)
    predictions = bench.predictions(model, table, labels, also=counter)
    by_cohort = {
        f"{SELECTION}/{cohort}": mean_auroc(part) for cohort, part in predictions.groupby("cohort", sort=False)
    }
    spread = {PROMPT_SPREAD: prompt_spread(predictions)}
    return {SELECTION: mean_auroc(predictions), **by_cohort, **spread, **validation_metrics(bench, counter)}
