"""Cells scored on one group of labels of one cohort, with a recorded test split."""

import json
from functools import cache

import numpy as np
import pandas as pd
import yaml

from uniferum.data.provenance import SplitWord
from uniferum.data.vocabulary import Vocabulary
from uniferum.evaluation.metrics import Scores, score_predictions
from uniferum.evaluation.prediction_file import write_predictions
from uniferum.run.result import plain

OFFICIAL = {"kind": "official", "papers": True, "expected": 3002}
GONE = ("valid_10_a_1", "valid_11_a_1", "valid_12_a_1", "valid_13_a_1", "valid_14_a_1")
REASON = "the paper gives sizes alone; drawn by patient to the same sizes"


def ct_rate(present, absent, **facts):
    first = GONE[: min(absent, 5)]
    return {
        **OFFICIAL,
        "found": present,
        "absent": absent,
        "absent_first": first,
        "absent_why": {"missing": absent},
        **facts,
    }


def small(present, absent):
    return {**ct_rate(present, absent), "expected": 360}


MODEL = {
    "kind": "uniferum",
    "encoder": {"name": "tf_efficientnet_b0", "weights": "imagenet", "stride": 32, "frozen_stages": 0},
    "text": {"name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext", "layers": 4},
}
"""Config of the paper's own system, so that its published values can be compared."""

DRAWN = {"kind": "paper_sized", "seed": 7}
SHARED = ("RADCHEST", "shared", 360)


@cache
def scored(
    cohort: str, group: str, cases: int, one_class: tuple[str, ...], unscored: tuple[str, ...]
) -> tuple[pd.DataFrame, Scores]:
    """Predictions of a group and their scores; labels of ``one_class`` have no positive case, others no case."""
    random = np.random.default_rng(cases)
    ids = [f"{i}" for i in range(cases)]
    parts = []
    labels = Vocabulary.load().groups[cohort, group]
    for label in labels:
        target = (random.random(cases) < 0.3).astype(float) * (label not in one_class)
        facts = {"cohort": cohort, "split": "test", "label": label, "group": group, "kind": "diagnosis"}
        score = random.normal(size=cases) + 1.3 * target
        parts.append(
            pd.DataFrame(
                {"volume_id": ids, "scan_id": ids, "patient_id": ids, **facts, "target": target, "score": score}
            )
        )
    table = pd.concat(parts, ignore_index=True)
    table = table[~table["label"].isin(unscored)]
    return table, score_predictions(table, {(cohort, group): labels}, draws=2)


def record_cell(root, cohort, group, cases, word, *, one_class=(), unscored=(), in_result=True, seed=0):
    """Write the folder of a finished cell that was scored on one group of one cohort."""
    table, scores = scored(cohort, group, cases, tuple(one_class), tuple(unscored))
    folder = root / "cells" / f"uniferum-pubmedbert-CTRATE-{seed}"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({"train_on": ["CTRATE"], "seed": seed, "model": MODEL}))
    words = {} if word is None else {cohort: SplitWord(**word).model_dump(mode="json")}
    write_predictions(folder / "predictions.parquet", table, words)
    scores.labels.to_parquet(folder / "metrics.parquet")
    name = "uniferum-pubmedbert-CTRATE" + (f"-seed{seed}" if seed else "")
    result = {"format": 1, "name": name, "model": "uniferum", "text_encoder": "pubmedbert", "seed": seed}
    result |= {"train_on": ["CTRATE"], "evaluate_on": [cohort], "groups": plain(scores.groups.to_dict("records"))}
    result |= {"test_splits": words} if in_result else {}
    (folder / "result.json").write_text(json.dumps(result))
    return folder
