"""Cells made by hand: predictions of a known quality, scored and written as a run writes them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from uniferum.data.folds import Folds
from uniferum.evaluation.metrics import score_predictions
from uniferum.run.result import plain
from uniferum.value_labels import name_part

GROUPS = {
    ("CTRATE", "all"): ("lung_nodule", "pleural_effusion"),
    ("INSPECT", "shared"): ("pleural_effusion",),
    ("INSPECT", "unique"): ("pe_positive",),
    ("RADCHEST", "shared"): ("pleural_effusion",),
    ("RADCHEST", "unique"): ("honeycombing", "never_positive"),
}


#: Words of grids, and the text encoders that they stand for; the paper's two are its own.
ENCODERS = {
    "pubmedbert": {"name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext", "layers": 4},
    "gatortron": {"name": "UFNLP/gatortron-base", "layers": 4},
    "small": {"name": "tiny", "layers": 2, "hidden": 64},
    "wide": {"name": "tiny", "layers": 2, "hidden": 96},
}
PAPER_IMAGE = {"name": "tf_efficientnet_b0", "weights": "imagenet", "stride": 32, "frozen_stages": 0}
NO_FUSION = {"positions": None, "visual_norm": "none", "visual_positions": False, "summary": False}


def predictions(seed: int, strength: float, n: int = 40) -> pd.DataFrame:
    """Scores with ``strength`` standard deviations between the classes; the last label has no positive case."""
    cases = np.random.default_rng(0)
    noise = np.random.default_rng(seed)
    parts = []
    for (cohort, group), labels in GROUPS.items():
        for label in labels:
            target = (cases.random(n) < 0.4).astype(float) * (label != "never_positive")
            facts = {"cohort": cohort, "split": "test", "label": label, "group": group, "kind": "diagnosis"}
            ids = {
                "volume_id": [f"{cohort}/{i}" for i in range(n)],
                "scan_id": [f"{i}" for i in range(n)],
                "patient_id": [f"{cohort}-p{i // 2}" for i in range(n)],
            }
            score = noise.normal(size=n) + strength * target
            parts.append(pd.DataFrame({**ids, **facts, "target": target, "score": score}))
    return pd.concat(parts, ignore_index=True)


def write_cell(
    root: Path,
    mix: str = "CTRATE",
    *,
    model: str = "uniferum",
    encoder: str = "pubmedbert",
    seed: int = 0,
    noise: int | None = None,
    strength: float = 1.0,
    done: bool = True,
    draws: int = 20,
    fingerprint: str = "0123456789abcdef",
    text: dict[str, object] | None = None,
    image: dict[str, object] | None = None,
    fusion: dict[str, object] | None = None,
    geometry: dict[str, object] | None = None,
    folds: Folds | None = None,
    axes: dict[str, str] | None = None,
    sections: dict[str, object] | None = None,
) -> Path:
    """A cell's folder as a run leaves it; without ``done`` as one that is half-way.

    ``encoder`` is the grid's word for its text encoder; ``text``, ``image`` and ``fusion`` are keys of the model that
    differ from that encoder's and the paper's, ``geometry`` those of the input, ``sections`` others of its config.
    ``noise`` seeds the random part of its scores, ``axes`` are its labels on the axes of a grid. ``folds`` is the fold
    that it holds out; with nested folds it is tested on every ``count``-th patient of the cohorts that it trains on.
    """
    varied = [name_part(axis, label) for axis, label in (axes or {}).items()]
    fold = "" if folds is None else f"fold{folds.index}"
    parts = (model, encoder, mix, *varied, fold, f"seed{seed}" if seed else "")
    name = "-".join(part for part in parts if part)
    folder = root / "cells" / f"{name}-{fingerprint[:8]}"
    folder.mkdir(parents=True)
    train_on = mix.split("+")
    keys = {
        "kind": model,
        "text": ENCODERS.get(encoder, ENCODERS["pubmedbert"]) | (text or {}),
        "encoder": PAPER_IMAGE | (image or {}),
        "fusion": NO_FUSION | (fusion or {}),
    }
    config = {"name": name, "seed": seed, "train_on": train_on, "model": keys, "training": {"steps": 40}}
    config |= (sections or {}) | ({"geometry": geometry} if geometry else {})
    if axes:
        (folder / "axes.json").write_text(json.dumps(axes))
    if folds is not None:
        division = {"folds": folds.count, "fold_seed": folds.seed, "nested_folds": folds.nested}
        config["data"] = {**division, "fold": folds.index}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    steps = [{"step": step, "loss": 1 / step, "validation/auroc": 0.5 + step / 100} for step in (10, 20)]
    (folder / "steps.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    if not done:
        return folder
    drawn = seed * 100 + len(mix) + (1000 * (1 + folds.index) if folds else 0)
    table = predictions(drawn if noise is None else noise, strength)
    if folds is not None and folds.nested:
        numbers = table["patient_id"].str.split("-p").str[1].astype(int)
        tested = (numbers % folds.count == folds.index) | ~table["cohort"].isin(train_on)
        table = table.loc[tested.to_numpy()].reset_index(drop=True)
    scores = score_predictions(table, draws=draws)
    table.to_parquet(folder / "predictions.parquet")
    scores.labels.to_parquet(folder / "metrics.parquet")
    (folder / "environment.json").write_text(json.dumps({"python": "3.11"}))
    result = {
        "format": 1,
        "name": name,
        "training_fingerprint": fingerprint,
        "evaluation_fingerprint": "fedcba9876543210",
        "train_on": train_on,
        "evaluate_on": ["CTRATE", "INSPECT", "RADCHEST"],
        "model": model,
        "text_encoder": keys["text"]["name"],
        "seed": seed,
        "best_step": 20,
        "selection": {"metric": "auroc", "value": 0.7, "split": "validation"},
        "groups": plain(scores.groups.to_dict("records")),
        "data": {"CTRATE train": "aa" * 32, "CTRATE test": "bb" * 32},
        "steps": 40,
        "seconds": 12.5,
        "git_commit": "abc1234",
    }
    (folder / "result.json").write_text(json.dumps(result))
    return folder
