"""Predict the validation splits with the best weights, so that thresholds are chosen there and not on test."""

from collections.abc import Collection

import pandas as pd

from uniferum.atomic import write_atomically
from uniferum.data.tasks import evaluation_tasks, joined
from uniferum.evaluation.predict import predict_tasks
from uniferum.evaluation.prediction_file import write_predictions
from uniferum.model.base import Model
from uniferum.run.build import Workbench
from uniferum.run.scored_tasks import mean_logits
from uniferum.run.stores import SELECTION_SPLIT
from uniferum.run_files import RunFiles


def validation_tasks(bench: Workbench) -> pd.DataFrame:
    """All known labels of the validation splits of the test cohorts, also of cohorts that were not trained on."""
    return joined(evaluation_tasks(bench.cohorts[name], SELECTION_SPLIT) for name in bench.config.evaluate_on)


def predict_validation(bench: Workbench, model: Model, outputs: Collection[str]) -> pd.DataFrame:
    """Predict the validation tasks, as the test tasks are predicted; empty if no test cohort has a validation split."""
    tasks = validation_tasks(bench)
    return predict_tasks(tasks, mean_logits(bench, model, tasks), outputs) if len(tasks) else tasks


def write_validation(predictions: pd.DataFrame, files: RunFiles) -> None:
    """Write the validation predictions of a run; remove those of an earlier scoring if there are none."""
    if predictions.empty:
        files.validation_predictions.unlink(missing_ok=True)
        return
    write_atomically(files.validation_predictions, lambda path: write_predictions(path, predictions, {}))
