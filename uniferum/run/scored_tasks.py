"""The tasks that the test splits of a run are scored on: what is predicted, and the targets it is compared with.

A task is predicted once, whatever number of label sets (``evaluation.labels``) have a target for it. Other wordings of
the prompts (``evaluation.prompts``) are further tasks of the same volumes, so that each volume is encoded once a pass.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from uniferum.data.label_sets import with_labels
from uniferum.data.tasks import evaluation_tasks, joined
from uniferum.evaluation.config import worded
from uniferum.evaluation.predict import Also, predict_tasks
from uniferum.evaluation.wordings import wording_scores
from uniferum.model.base import Model
from uniferum.run.build import Workbench
from uniferum.run.stores import TEST_SPLIT


@dataclass(frozen=True)
class ScoredTasks:
    """Tasks of the test splits.

    Attributes:
        own: tasks of the cohorts' own labels.
        others: tasks of each label set by its title; task ids are those of ``own`` where it has the task.
        wordings: tasks of ``own`` with each template of ``evaluation.prompts``, by template.
    """

    own: pd.DataFrame
    others: Mapping[str, pd.DataFrame]
    wordings: Mapping[str, pd.DataFrame]

    @property
    def asked(self) -> pd.DataFrame:
        """Every task once, as it is predicted."""
        return joined([self.own, *self.others.values(), *self.wordings.values()]).drop_duplicates(
            "task_id", ignore_index=True
        )


def scored_tasks(bench: Workbench) -> ScoredTasks:
    """Make the test tasks of a run."""
    own = bench.test_table()
    others = {
        one.title: evaluation_tasks(with_labels(bench.cohorts[one.cohort], one), TEST_SPLIT) for one in bench.label_sets
    }
    return ScoredTasks(
        own, others, {template: _worded(bench, own, template) for template in bench.config.evaluation.prompts}
    )


def _worded(bench: Workbench, own: pd.DataFrame, template: str) -> pd.DataFrame:
    names = {
        (name, label): words.name
        for name in bench.config.evaluate_on
        for label, words in bench.cohorts[name].vocabulary.labels.items()
    }
    facts = zip(own["cohort"], own["label"], own["prompt"], strict=True)
    prompts = [worded(template, names[cohort, label], prompt) for cohort, label, prompt in facts]
    return own.assign(prompt=prompts, task_id=[f"{task} {template}" for task in own["task_id"]])


@dataclass(frozen=True)
class Predicted:
    """Predictions of the test tasks, and the AUROC of each label under every wording (empty without other prompts)."""

    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    wordings: dict[str, Any] = field(default_factory=dict)


def predict_scored(
    bench: Workbench, model: Model, tasks: ScoredTasks, outputs: Collection[str], *, also: Also | None = None
) -> Predicted:
    """Predict the test tasks; with ``evaluation.augmentations`` logits are averaged over plain and augmented passes.

    Args:
        bench: the opened run.
        model: the model.
        tasks: tasks of :func:`scored_tasks`.
        outputs: the trained labels, see :func:`uniferum.evaluation.predict.predict_tasks`.
        also: called after each batch of the plain pass.
    """
    scores = mean_logits(bench, model, tasks.asked, also=also)
    own = predict_tasks(tasks.own, scores, outputs)
    others = (predict_tasks(table, scores, outputs).assign(cohort=title) for title, table in tasks.others.items())
    by_wording = {template: predict_tasks(table, scores, outputs) for template, table in tasks.wordings.items()}
    wordings = wording_scores(own, by_wording) if by_wording else {}
    return Predicted(pd.concat([own, *others], ignore_index=True), wordings)


def mean_logits(bench: Workbench, model: Model, table: pd.DataFrame, *, also: Also | None = None) -> pd.DataFrame:
    """Logits of a table's tasks, averaged over the plain pass and the augmented ones."""
    plain = bench.logits(model, table, also=also)
    count = bench.config.evaluation.augmentations
    passes = [bench.logits(model, table, copy=copy) for copy in range(1, count + 1)]
    if not passes:
        return plain
    assert all(one["task_id"].equals(plain["task_id"]) for one in passes), "all passes have the same order"
    return plain.assign(score=np.mean([one["score"].to_numpy() for one in (plain, *passes)], axis=0))
