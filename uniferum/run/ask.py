"""Ask a trained model about raw scans: prepare each scan, encode it once, and answer every prompt.

A scan gets the preparation of the run's own stores (its geometry is in the checkpoint), without augmentation. The flags
and notes of the preparation are returned with every answer. A scan with doubtful intensities or orientation is refused.
An error in one scan does not stop the others.
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
from uniferum.model.base import Model, labels_of
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
    """One prompt, and the label id that models with one output per label need."""

    prompt: str
    label: str = ""


@dataclass(frozen=True)
class Answer:
    """The logits of one scan, with the flags and notes of its preparation.

    Attributes:
        logits: float64, one per question; NaN if the model has no such output.
        flags: names of ``preprocessing/flags.py``; ``None`` if the scan was not checked.
        notes: sentences that explain the flags.
    """

    logits: np.ndarray
    flags: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


@runtime_checkable
class Answers(Protocol):
    """Anything that answers questions about a scan."""

    def answer(self, scan: Path, questions: Sequence[Question]) -> Answer | np.ndarray:
        """Answer all questions about one raw scan; plain logits carry no information on its quality."""
        ...


@dataclass(frozen=True)
class Trained:
    """A model with its weights and the preparation of its scans."""

    model: Model
    preparation: PreparationConfig
    level: Level
    compute: Compute

    @property
    def geometry(self) -> Geometry:
        """The voxel grids of the model's input."""
        return self.preparation.geometry

    @classmethod
    def load(cls, checkpoint: Path, *, device: str | None = None) -> "Trained":
        """Build the model of a checkpoint and load its weights.

        Args:
            checkpoint: a checkpoint folder, a run's folder (its best checkpoint is used), or a saved model's folder
                (``save_pretrained``, ``uniferum import-checkpoint``).
            device: the torch device; default: the first GPU, else the CPU.

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
        # The checkpoint holds all weights, so no pretrained ones are needed.
        model = build_model(config.model, config.geometry, labels, config.seed, pretrained=False)
        load_weights(model, folder)
        compute = choose_compute(config.training.precision, device, tf32=config.training.tf32)
        compute.use()
        level, model = config.data.level, model.to(compute.device).eval()
        return cls(model, preparation.replace(geometry=config.geometry, levels=(level,)), level, compute)

    @classmethod
    def _saved(cls, folder: Path, device: str | None) -> "Trained":
        """Load a saved model; scans are prepared with the geometry and preset in its description."""
        described = read_description(folder)
        preset = parse(ModelConfig, described["model"], source=f"{folder}: model").preset
        geometry = parse(Geometry, described["geometry"], source=f"{folder}: geometry")
        preparation = PreparationConfig.model_validate({"preset": preset, "geometry": geometry, "levels": ["train"]})
        compute = choose_compute("fp32", device)
        compute.use()
        return cls(from_pretrained(folder).to(compute.device).eval(), preparation, "train", compute)

    @torch.inference_mode()
    def answer(self, scan: Path, questions: Sequence[Question]) -> Answer:
        """Return the logits of all questions about one raw scan, with the scan's flags and notes.

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
    """Make questions from free prompts, then from labels of the vocabulary with their own prompts.

    Raises:
        UniferumError: a label that the vocabulary does not have, or no question at all.
    """
    words = Vocabulary.load()
    questions = [Question(prompt) for prompt in prompts]
    for label in labels:
        if label not in words.labels:
            raise UniferumError("--label", label, must="be in the vocabulary", cure=near_miss(label, words.labels))
        questions.append(Question(words.labels[label].prompt, label))
    if not questions:
        raise UniferumError(
            "--prompt", must="be given at least once", cure="or name a label of the vocabulary: --label"
        )
    return questions


COLUMNS = ("scan", "label", "prompt", "logit", "probability", "flags", "notes")
UNKNOWN = "unknown"
"""Replaces the flags of a scan whose quality was not checked."""

SHOWS_TRACEBACK = "uniferum --debug predict ..."


@dataclass(frozen=True)
class Asked:
    """The result for one scan.

    Attributes:
        scan: the path as the user gave it.
        rows: one per question, see :data:`COLUMNS`; empty if the scan was not answered.
        fault: why the scan failed or was refused, one line; empty if it was answered.
    """

    scan: Path
    rows: tuple[dict[str, Any], ...] = ()
    fault: str = ""


def ask_each(
    trained: Answers, scans: Iterable[Path], questions: Sequence[Question], *, force: bool = False
) -> Iterator[Asked]:
    """Ask about one scan after the other (see :func:`ask`), so that finished answers survive an interruption."""
    for scan in dict.fromkeys(scans):
        try:
            answer = _whole(trained.answer(scan, questions))
            doubts = quality.doubtful(answer.flags or ())
            if doubts and not force:
                asked = Asked(scan, fault=refusal(scan, doubts, answer.notes))
            else:
                asked = Asked(scan, tuple(_rows(scan, questions, answer)))
        except Exception as error:  # noqa: BLE001 - an error in one scan must not stop the others
            asked = Asked(scan, fault=_fault(scan, error))
        yield asked


def ask(
    trained: Answers | Path | str,
    scans: Iterable[Path | str],
    questions: Sequence[Question | str],
    *,
    force: bool = False,
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Ask a model about scans; a scan that cannot be read or is refused does not stop the others.

    Args:
        trained: a model, or a folder for :meth:`Trained.load`.
        scans: files, or folders of DICOM slices; a scan that is named twice is asked about once.
        questions: prompts, or questions with a label (see :func:`questions_of`).
        force: answer also for scans with doubtful intensities or orientation.

    Returns:
        A row per scan and question (scan, label, prompt, logit, probability, flags joined by ``;``, notes as a tuple),
        and scan to reason, one line each, for those that failed or were refused.

    Examples:
        >>> import uniferum
        >>> prompts = ["Diagnose the presence of emphysema in the lungs"]
        >>> answers, failed = uniferum.ask(folder, ["absent.nii.gz"], prompts)
        >>> list(answers.columns)
        ['scan', 'label', 'prompt', 'logit', 'probability', 'flags', 'notes']
        >>> list(failed)
        ['absent.nii.gz']
    """
    model = Trained.load(Path(trained)) if isinstance(trained, Path | str) else trained
    asked = [Question(one, *labels_of([one])) if isinstance(one, str) else one for one in questions]
    every = list(ask_each(model, map(Path, scans), asked, force=force))
    rows = [row for one in every for row in one.rows]
    return pd.DataFrame(rows, columns=list(COLUMNS)), {str(one.scan): one.fault for one in every if one.fault}


def refusal(scan: Path, doubts: Sequence[str], notes: Sequence[str]) -> str:
    """Say in one line why a scan is refused, with the notes behind its flags."""
    why = ", ".join(f"{flag} ({quality.meaning(flag)})" for flag in doubts)
    said = "".join(f"; {note}" for note in notes)
    return f"{scan}: not answered: flagged {why}{said}; --force answers all the same"


def split_flags(cell: str) -> list[str] | None:
    """The flags of a row of the table; ``None`` if the scan was not checked."""
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
    """One line that names the scan as the user gave it."""
    line = fault_line(error, str(scan), doing="answering", debug=SHOWS_TRACEBACK)
    return line if str(scan) in line else f"{scan}: {line}"
