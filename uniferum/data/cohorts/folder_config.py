"""What the YAML of a folder cohort says: which column holds what, what each label asks, what each mask is."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from uniferum.config import Section
from uniferum.data.cohorts.base import CohortConfig
from uniferum.data.vocabulary import TOTALSEGMENTATOR, Kind, Vocabulary
from uniferum.errors import UniferumError, near_miss


class Columns(Section):
    """Which column of the table holds what; ``None`` where the table has none."""

    scan: str = "scan_id"
    path: str = "path"
    patient: str | None = None
    study: str | None = None
    split: str | None = None


class OwnLabel(Section):
    """A label: a known one of the vocabulary (nothing to say), a whole prompt, or a name and an organ phrase.

    Attributes:
        column: the table's column; default: the label's id.
        prompt: the question as a whole.
        name: what is looked for, e.g. ``pleural effusion``.
        organ: where, with its preposition, e.g. ``around the lungs``.
        kind: ``diagnosis`` or ``prognosis``.
    """

    column: str | None = None
    prompt: str | None = None
    name: str | None = None
    organ: str | None = None
    kind: Kind = "diagnosis"


class OwnMask(Section):
    """What one kind of mask file is.

    Attributes:
        structure: an id of the vocabulary (``lungs``, ``heart``, ``nodule``), an id of your own (with ``prompt``), or
            ``totalsegmentator`` for multi-label output of TotalSegmentator v2.
        prompt: for a structure that the vocabulary does not know.
        value: the mask is where the file has this value, or one of these (``[3, 4]``).
        threshold: the mask is where the file is above this, for probability maps and interpolated masks.

    A file without either holds 0 and one other number. Values are those after the header's slope and intercept.
    """

    structure: str
    prompt: str | None = None
    value: int | tuple[int, ...] | None = None
    threshold: float | None = Field(default=None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _one_way_to_read_it(self) -> Self:
        given = [name for name in ("value", "threshold") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError("give value or threshold, not both")
        if given and self.structure == TOTALSEGMENTATOR:
            raise ValueError(f"leave {given[0]} out: the ids of totalsegmentator are taken as they are")
        if self.value == ():
            raise ValueError("give at least one value")
        return self


class MaskColumn(Section):
    """A column of mask paths; ``label`` is the column that says which of ``kinds`` a row's mask is.

    Without ``label`` there is one kind, and every mask of the column is of it.
    """

    path: str
    label: str | None = None
    kinds: dict[str, OwnMask] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_kind_or_a_label(self) -> Self:
        if self.label is None and len(self.kinds) > 1:
            raise ValueError("name the column (label) that tells several kinds of masks apart")
        return self


class FolderConfig(CohortConfig):
    """Settings of a folder cohort.

    Attributes:
        name: of the cohort, in tables and grids; upper case.
        table: UTF-8 CSV, one row a scan, relative to ``root``.
        columns: see :class:`Columns`.
        labels: label id -> what it asks.
        masks: columns of mask paths.
        ignore: columns that are neither.
        fractions: of scans by split, drawn by patient, where the table has no split column.
        seed: of ``fractions``.
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
    """The cohort's own labels and structures, as :meth:`Vocabulary.extended` takes them.

    Raises:
        UniferumError: a label or structure is neither known nor says what it asks.
    """
    where = f"cohort {config.name}"
    labels = {label: _label_words(label, own, vocabulary, where) for label, own in config.labels.items()}
    structures: dict[str, Any] = {}
    for kind in (kind for column in config.masks for kind in column.kinds.values()):
        structures |= _structure_words(kind, vocabulary, where)
    return {"cohort": config.name, "labels": labels, "structures": structures}


def _label_words(label: str, own: OwnLabel, vocabulary: Vocabulary, where: str) -> dict[str, str]:
    known = vocabulary.labels.get(label)
    if known is not None and own.prompt is None and own.name is None:
        return {"name": known.name, "prompt": known.prompt, "kind": known.kind}
    prompt = own.prompt
    if prompt is None and own.name and own.organ and own.kind == "diagnosis":
        prompt = f"Diagnose the presence of {own.name} {own.organ}"
    if prompt is None:
        cure = "give a prompt, or a name and an organ phrase (in the heart, around the lungs)"
        raise UniferumError(f"{where}: label {label}", must="be in the vocabulary or say what it asks", cure=cure)
    return {"name": own.name or label.replace("_", " "), "prompt": prompt, "kind": own.kind}


def _structure_words(kind: OwnMask, vocabulary: Vocabulary, where: str) -> dict[str, Any]:
    """Words for a binary layer of its own; a known organ is asked for in its known words, under an id of its own."""
    if kind.structure == TOTALSEGMENTATOR:
        return {}
    known = vocabulary.structures.get(kind.structure)
    if known is not None:
        own = {"name": known.name, "prompt": known.prompt, "layer": kind.structure, "ids": [1]}
        return {} if known.layer == kind.structure else {f"{kind.structure}_mask": own}
    if kind.prompt is None:
        cure = f"give a prompt; or {near_miss(kind.structure, [*vocabulary.structures, TOTALSEGMENTATOR])}"
        raise UniferumError(f"{where}: structure {kind.structure}", must="be known or have a prompt", cure=cure)
    words = {"name": kind.structure.replace("_", " "), "prompt": kind.prompt, "layer": kind.structure, "ids": [1]}
    return {kind.structure: words}
