"""Ask a trained model about raw scans: preparation, one encoding a scan, one answer a prompt.

A scan passes through the preparation that the run's own stores had (its geometry is in the checkpoint), unaugmented.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from uniferum.config import parse
from uniferum.data.resample import resample_image
from uniferum.data.vocabulary import Vocabulary
from uniferum.errors import UniferumError, near_miss
from uniferum.model.base import Model
from uniferum.model.build import build_model
from uniferum.model.config import ModelConfig
from uniferum.model.hub import CONFIG, from_pretrained, read_description
from uniferum.preprocessing.geometry import Geometry
from uniferum.preprocessing.pipeline import PreparationConfig, prepare
from uniferum.preprocessing.source import ScanSource
from uniferum.preprocessing.store import Level
from uniferum.run.config import RunConfig
from uniferum.training.checkpoint import CARD, load_weights, read_card
from uniferum.training.precision import Compute, choose_compute


@dataclass(frozen=True)
class Question:
    """One prompt, and the label id that models with one output a label need."""

    prompt: str
    label: str = ""


@dataclass(frozen=True)
class Trained:
    """A model with its weights, ready to be asked."""

    model: Model
    preparation: PreparationConfig
    level: Level
    compute: Compute

    @property
    def geometry(self) -> Geometry:
        """The grids that the model reads."""
        return self.preparation.geometry

    @classmethod
    def load(cls, checkpoint: Path, *, device: str | None = None) -> "Trained":
        """Build the model of a checkpoint and load its weights.

        Args:
            checkpoint: a checkpoint folder, a run's folder (its best checkpoint is taken), or a saved model's
                (``save_pretrained``, ``uniferum import-checkpoint``).
            device: where to compute; the first GPU, else the CPU.

        Raises:
            UniferumError: no checkpoint, a damaged one, or weights that do not fit its config.
        """
        best = checkpoint / "checkpoints" / "best"
        folder = best if best.exists() else checkpoint
        if not (folder / CARD).exists() and (folder / CONFIG).exists():
            return cls._saved(folder, device)
        card = read_card(folder)
        config = parse(RunConfig, card["config"], source=f"{folder}: config")
        labels = tuple(card["labels"])
        preparation = parse(PreparationConfig, card["preparation"], source=f"{folder}: preparation")
        # The checkpoint holds all weights, so no pretrained ones have to be found.
        model = build_model(config.model, config.geometry, labels, config.seed, pretrained=False)
        load_weights(model, folder)
        compute = choose_compute(config.training.precision, device)
        level, model = config.data.level, model.to(compute.device).eval()
        return cls(model, preparation.replace(geometry=config.geometry, levels=(level,)), level, compute)

    @classmethod
    def _saved(cls, folder: Path, device: str | None) -> "Trained":
        """A saved model names its grids and preset; scans are prepared by that preset."""
        described = read_description(folder)
        preset = parse(ModelConfig, described["model"], source=f"{folder}: model").preset
        geometry = parse(Geometry, described["geometry"], source=f"{folder}: geometry")
        preparation = PreparationConfig.model_validate({"preset": preset, "geometry": geometry, "levels": ["train"]})
        compute = choose_compute("fp32", device)
        return cls(from_pretrained(folder).to(compute.device).eval(), preparation, "train", compute)

    @torch.inference_mode()
    def answer(self, scan: Path, questions: Sequence[Question]) -> np.ndarray:
        """Logits (float64) of all questions about one raw scan; NaN where the model has no such output.

        Raises:
            UniferumError: the scan cannot be read.
        """
        prepared = prepare(ScanSource(scan_id=scan.name, path=scan), self.preparation)
        volume = resample_image(prepared.levels[self.level], None, self.geometry, level=self.level)
        with self.compute.autocast():
            visual = self.model.encode(torch.from_numpy(volume)[None, None].to(self.compute.device))
            output = self.model.read(
                visual,
                torch.zeros(len(questions), dtype=torch.int64, device=self.compute.device),
                [question.prompt for question in questions],
                [question.label for question in questions],
                torch.zeros(0, dtype=torch.int64, device=self.compute.device),
            )
        return output.class_logit.double().cpu().numpy()


def questions_of(prompts: Iterable[str], labels: Iterable[str]) -> list[Question]:
    """Free prompts, then labels of the vocabulary with their own prompts.

    Raises:
        UniferumError: a label that the vocabulary does not have, or nothing to ask.
    """
    words = Vocabulary.load()
    found = [Question(prompt) for prompt in prompts]
    for label in labels:
        if label not in words.labels:
            raise UniferumError("--label", label, must="be in the vocabulary", cure=near_miss(label, words.labels))
        found.append(Question(words.labels[label].prompt, label))
    if not found:
        raise UniferumError(
            "--prompt", must="be given at least once", cure="or name a label of the vocabulary: --label"
        )
    return found


def ask(trained: Trained, scans: Iterable[Path], questions: Sequence[Question]) -> tuple[pd.DataFrame, dict[str, str]]:
    """Ask about scans; one that cannot be read does not stop the others.

    Returns:
        A row a scan and question (scan, label, prompt, logit, probability), and scan to reason for those that failed.
    """
    rows: list[dict[str, object]] = []
    failed: dict[str, str] = {}
    for scan in scans:
        try:
            logits = trained.answer(scan, questions)
        except UniferumError as error:
            failed[str(scan)] = str(error)
            continue
        for question, logit in zip(questions, logits.tolist(), strict=True):
            probability = float(1 / (1 + np.exp(-logit)))
            rows.append(
                {
                    "scan": str(scan),
                    "label": question.label,
                    "prompt": question.prompt,
                    "logit": logit,
                    "probability": probability,
                }
            )
    columns = ["scan", "label", "prompt", "logit", "probability"]
    return pd.DataFrame(rows, columns=columns), failed
