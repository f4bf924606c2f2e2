"""Settings of a folder cohort: the meaning of its columns, labels and masks."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from uniferum.config import Section
from uniferum.data.cohorts.base import CohortConfig
from uniferum.data.vocabulary import TOTALSEGMENTATOR, Kind, Vocabulary
from uniferum.errors import UniferumError, near_miss


class Columns(Section):
    """Names of the table's columns; ``None`` for a column that it lacks."""

    scan: str = "scan_id"
    path: str = "path"
    patient: str | None = None
    study: str | None = None
    split: str | None = None


class OwnLabel(Section):
    """A label: a known id of the vocabulary (no settings), a complete prompt, or a name and an organ phrase.

    Attributes:
        column: column of the table; by default the label's id.
        prompt: the complete prompt.
        name: the finding, e.g. ``pleural effusion``.
        organ: the organ with a preposition, e.g. ``around the lungs``.
        kind: ``diagnosis`` or ``prognosis``.
    """

    column: str | None = None
    prompt: str | None = None
    name: str | None = None
    organ: str | None = None
    kind: Kind = "diagnosis"


class OwnMask(Section):
    """Meaning of one kind of mask file.

    Attributes:
        structure: an id of the vocabulary (``lungs``, ``heart``, ``nodule``), a new id (with ``prompt``), or
            ``totalsegmentator`` for multi-label output of TotalSegmentator v2.
        prompt: prompt for a structure that is not in the vocabulary.
        value: the mask is where the file equals this value, or one of these (``[3, 4]``).
        threshold: the mask is where the file is above this value, for probability maps and interpolated masks.

    Without either, the file has 0 and one other number. Values are those after the header's slope and intercept.
    """

    structure: str
    prompt: str | None = None
    value: int | tuple[int, ...] | None = None
    threshold: float | None = Field(default=None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _one_way_to_read_it(self) -> Self:
        present = [name for name in ("value", "threshold") if getattr(self, name) is not None]
        if len(present) > 1:
            raise ValueError("give value or threshold, not both")
        if present and self.structure == TOTALSEGMENTATOR:
            raise ValueError(f"remove {present[0]}: the ids of totalsegmentator are used unchanged")
        if self.value == ():
            raise ValueError("give at least one value")
        return self


class MaskColumn(Section):
    """A column of mask paths; ``label`` is the column with each row's kind of mask, one of ``kinds``.

    Without ``label`` there must be one kind, which all masks of the column have.
    """

    path: str
    label: str | None = None
    kinds: dict[str, OwnMask] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_kind_or_a_label(self) -> Self:
        if self.label is None and len(self.kinds) > 1:
            raise ValueError("set label, the column with the kind of each mask, for several kinds")
        return self


class FolderConfig(CohortConfig):
    """Settings of a folder cohort.

    Attributes:
        name: name of the cohort in tables and grids; upper case.
        table: UTF-8 CSV with one row per scan, relative to ``root``.
        columns: names of the columns, see :class:`Columns`.
        labels: label id to its meaning.
        masks: the columns of mask paths.
        ignore: columns to ignore.
        fractions: fractions of scans by split, drawn by patient, if the table has no split column.
        seed: seed of the drawn splits.
    """

    name: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$")
    table: Path = Path("labels.csv")
    columns: Columns = Columns()
    labels: dict[str, OwnLabel] = Field(default_factory=dict)
    masks: tuple[MaskColumn, ...] = ()
    ignore: tuple[str, ...] = ()
    fractions: dict[Literal["train", "validation", "test"], float] = Field(
        default_factory=lambda: {"train": 0.7, "validation": 0.1, "test": 0.2}
    )
    seed: int = 0

    @model_validator(mode="after")
    def _known_name(self) -> Self:
        if self.name in {"CTRATE", "INSPECT", "RADCHEST", "LUNA16", "SEG"}:
            raise ValueError(f"choose another name: {self.name} is one of the paper's datasets")
        if min(self.fractions.values(), default=0) < 0 or sum(self.fractions.values()) <= 0:
            raise ValueError("give fractions that are not negative and not all zero")
        return self


def own_words(config: FolderConfig, vocabulary: Vocabulary) -> dict[str, Any]:
    """The cohort's additional labels and structures, for :meth:`Vocabulary.extended`.

    Raises:
        UniferumError: a label or structure is not known and has no prompt.
    """
    subject = f"cohort {config.name}"
    labels = {label: _label_entry(label, settings, vocabulary, subject) for label, settings in config.labels.items()}
    structures: dict[str, Any] = {}
    for kind in (kind for column in config.masks for kind in column.kinds.values()):
        structures |= _structure_entry(kind, vocabulary, subject)
    return {"cohort": config.name, "labels": labels, "structures": structures}


def _label_entry(label: str, settings: OwnLabel, vocabulary: Vocabulary, subject: str) -> dict[str, str]:
    known = vocabulary.labels.get(label)
    if known is not None and settings.prompt is None and settings.name is None:
        return {"name": known.name, "prompt": known.prompt, "kind": known.kind}
    prompt = settings.prompt
    if prompt is None and settings.name and settings.organ and settings.kind == "diagnosis":
        prompt = f"Diagnose the presence of {settings.name} {settings.organ}"
    if prompt is None:
        cure = "set a prompt, or a name and an organ phrase (in the heart, around the lungs)"
        raise UniferumError(f"{subject}: label {label}", must="be in the vocabulary or have a prompt", cure=cure)
    return {"name": settings.name or label.replace("_", " "), "prompt": prompt, "kind": settings.kind}


def _structure_entry(kind: OwnMask, vocabulary: Vocabulary, subject: str) -> dict[str, Any]:
    """Vocabulary entry of a binary layer; a known organ keeps its words, under a separate id."""
    if kind.structure == TOTALSEGMENTATOR:
        return {}
    known = vocabulary.structures.get(kind.structure)
    if known is not None:
        entry = {"name": known.name, "prompt": known.prompt, "layer": kind.structure, "ids": [1]}
        return {} if known.layer == kind.structure else {f"{kind.structure}_mask": entry}
    if kind.prompt is None:
        cure = f"give a prompt; or {near_miss(kind.structure, [*vocabulary.structures, TOTALSEGMENTATOR])}"
        raise UniferumError(f"{subject}: structure {kind.structure}", must="be known or have a prompt", cure=cure)
    words = {"name": kind.structure.replace("_", " "), "prompt": kind.prompt, "layer": kind.structure, "ids": [1]}
    return {kind.structure: words}
