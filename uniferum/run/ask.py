"""Ask a trained model about raw scans: preparation, one encoding a scan, one answer a prompt.

A scan passes through the preparation that the run's own stores had (its geometry is in the checkpoint), unaugmented.
What preparation notices about it stands beside every answer, and a scan whose intensities or axes are doubtful is
refused; no fault of one scan keeps the others from their answers.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import torch

from uniferum.config import parse
from uniferum.data.loading.resample import resample_image
from uniferum.data.vocabulary import Vocabulary
from uniferum.errors import UniferumError, near_miss
from uniferum.model.base import Model
from uniferum.model.config import ModelConfig
from uniferum.model.registry import build_model
from uniferum.model.saved.hub import CONFIG, from_pretrained, read_description
from uniferum.preprocessing import flags as quality
from uniferum.preprocessing.faults import fault_line
from uniferum.preprocessing.formats.source import ScanSource
from uniferum.preprocessing.geometry import Geometry
from uniferum.preprocessing.pipeline import PreparationConfig, prepare
from uniferum.preprocessing.store.store import Level
from uniferum.run.config import RunConfig
from uniferum.training.checkpoint import CARD, load_weights, read_card
from uniferum.training.precision import Compute, choose_compute


@dataclass(frozen=True)
class Question:
    """One prompt, and the label id that models with one output a label need."""

    prompt: str
    label: str = ""


@dataclass(frozen=True)
class Answer:
    """What a model says of one scan, and what preparation noticed about the scan.

    Attributes:
        logits: float64, one a question; NaN where the model has no such output.
        flags: names of ``preprocessing/flags.py``; ``None`` where nobody looked.
        notes: sentences on what the flags name.
    """

    logits: np.ndarray
    flags: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


@runtime_checkable
class Answers(Protocol):
    """Whoever can be asked about scans."""

    def answer(self, scan: Path, questions: Sequence[Question]) -> Answer | np.ndarray:
        """All answers about one raw scan; bare logits say nothing of its quality."""
        ...


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
        compute = choose_compute(config.training.precision, device, tf32=config.training.tf32)
        compute.use()
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
        compute.use()
        return cls(from_pretrained(folder).to(compute.device).eval(), preparation, "train", compute)

    @torch.inference_mode()
    def answer(self, scan: Path, questions: Sequence[Question]) -> Answer:
        """Logits of all questions about one raw scan, with the scan's flags and notes.

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
        return Answer(output.class_logit.double().cpu().numpy(), prepared.flags, prepared.notes)


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


COLUMNS = ("scan", "label", "prompt", "logit", "probability", "flags", "notes")
UNKNOWN = "unknown"
"""In place of flags where nobody looked at the scan's quality."""

SHOWS_TRACEBACK = "uniferum --debug predict ..."


@dataclass(frozen=True)
class Asked:
    """What became of one scan.

    Attributes:
        scan: as the user named it.
        rows: one a question, see :data:`COLUMNS`; empty where it was not answered.
        fault: why it failed or was refused, one line; empty where it was answered.
    """

    scan: Path
    rows: tuple[dict[str, Any], ...] = ()
    fault: str = ""


def ask_each(
    trained: Answers, scans: Iterable[Path], questions: Sequence[Question], *, force: bool = False
) -> Iterator[Asked]:
    """:func:`ask`, one scan after the other, so that what is answered is not lost when the next one is interrupted."""
    for scan in dict.fromkeys(scans):
        try:
            answer = _whole(trained.answer(scan, questions))
            doubts = quality.doubtful(answer.flags or ())
            if doubts and not force:
                asked = Asked(scan, fault=refusal(scan, doubts, answer.notes))
            else:
                asked = Asked(scan, tuple(_rows(scan, questions, answer)))
        except Exception as error:  # noqa: BLE001 - one bad scan must not keep the others from their answers
            asked = Asked(scan, fault=_fault(scan, error))
        yield asked


def ask(
    trained: Answers, scans: Iterable[Path], questions: Sequence[Question], *, force: bool = False
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Ask about scans; one that cannot be read, or should not be believed, does not stop the others.

    Args:
        trained: a model, or whatever else answers.
        scans: files, or folders of DICOM slices; each is asked about once.
        questions: see :func:`questions_of`.
        force: answer also for scans whose intensities or orientation are doubtful.

    Returns:
        A row a scan and question (scan, label, prompt, logit, probability, flags joined by ``;``, notes as a tuple),
        and scan to reason, one line each, for those that failed or were refused.
    """
    every = list(ask_each(trained, scans, questions, force=force))
    rows = [row for asked in every for row in asked.rows]
    return pd.DataFrame(rows, columns=list(COLUMNS)), {str(one.scan): one.fault for one in every if one.fault}


def refusal(scan: Path, doubts: Sequence[str], notes: Sequence[str]) -> str:
    """Why a scan is not answered, with the sentences behind its flags, in one line."""
    why = ", ".join(f"{flag} ({quality.meaning(flag)})" for flag in doubts)
    said = "".join(f"; {note}" for note in notes)
    return f"{scan}: not answered, for it is flagged {why}{said}; --force answers all the same"


def split_flags(cell: str) -> list[str] | None:
    """The flags of a row of the table; ``None`` where nobody looked."""
    return None if cell == UNKNOWN else [flag for flag in cell.split(";") if flag]


def _whole(answer: Answer | np.ndarray) -> Answer:
    return answer if isinstance(answer, Answer) else Answer(np.asarray(answer, dtype=np.float64))


def _rows(scan: Path, questions: Sequence[Question], answer: Answer) -> list[dict[str, Any]]:
    flags = UNKNOWN if answer.flags is None else ";".join(answer.flags)
    return [
        {
            "scan": str(scan),
            "label": one.label,
            "prompt": one.prompt,
            "logit": logit,
            "probability": _probability(logit),
            "flags": flags,
            "notes": answer.notes,
        }
        for one, logit in zip(questions, answer.logits.tolist(), strict=True)
    ]


def _probability(logit: float) -> float:
    """The logistic function, without overflow at either end."""
    return 1 / (1 + math.exp(-logit)) if logit > -700 or math.isnan(logit) else 0.0


def _fault(scan: Path, error: Exception) -> str:
    """One line that names the scan as the user typed it."""
    line = fault_line(error, str(scan), doing="answering", debug=SHOWS_TRACEBACK)
    return line if str(scan) in line else f"{scan}: {line}"
