"""Mask rows that a training with SEG wants and finds, and when it is refused because masks are missing (paper 3.3).

Organ tasks are drawn from the training scans that have masks. A scan without masks is not an error of that draw, so
that a training without any organ row would start like any other: whoever makes the rows asks :meth:`MaskRows.missing`.
"""

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, Literal

from uniferum.data.commands import cohort_args, prepare_command
from uniferum.data.content import TRAINING
from uniferum.data.settings import MissingMasks
from uniferum.data.vocabulary import NODULE
from uniferum.errors import UniferumError

if TYPE_CHECKING:
    from uniferum.data.content import Content
    from uniferum.data.prepared import PreparedCohort

CONFIGS = {"CTRATE": "ct_rate", "INSPECT": "inspect", "RADCHEST": "rad_chest", "LUNA16": "luna16"}
"""The paper's cohorts -> their file in configs/cohorts/."""
SHIPS_MASKS = frozenset({"CTRATE"})
"""Cohorts whose dataset holds the organ masks, so that they are downloaded and not made (paper 3.5)."""


@dataclass(frozen=True)
class MaskRows:
    """Segmentation rows of one cohort's training split.

    Attributes:
        cohort: its name.
        kind: ``organ`` or ``nodule``.
        wanted: rows that the sampling section asks for; of nodules ``luna_factor`` a scan.
        found: rows that its masks give.
        scans: scans of the training split.
        without_masks: those of them without a mask of this kind.
    """

    cohort: str
    kind: Literal["organ", "nodule"]
    wanted: int
    found: int
    scans: int
    without_masks: int

    @property
    def missing(self) -> bool:
        """Whether masks are missing that the training needs.

        Of organs: scans have no mask, and so fewer rows are found than wanted, or the other scans serve more often than
        they would if all had one; a few scans without a mask are neither. Of nodules: no row is found, since a scan
        without a nodule needs no mask.
        """
        if self.kind == "nodule" or not self.found:
            return self.wanted > 0 and not self.found
        served = self.scans - self.without_masks
        oftener = ceil(self.wanted / max(1, served)) > ceil(self.wanted / max(1, self.scans))
        return self.without_masks > 0 and (self.found < self.wanted or oftener)

    @property
    def counts(self) -> str:
        """``40 wanted, 0 found; 50 of 50 training scans have no organ mask``."""
        without = f"{self.without_masks:,} of {self.scans:,} training scans have no {self.kind} mask"
        return f"{self.wanted:,} wanted, {self.found:,} found; {without}"

    @property
    def incomplete(self) -> bool:
        """Whether there is something to say of these rows: fewer than wanted, or of organs some scans without masks."""
        return self.found < self.wanted or (self.kind == "organ" and self.without_masks > 0)

    def sentence(self) -> str:
        """One line for a person, without the command."""
        return f"{self.kind} rows of {self.cohort}: {self.counts}"


def organ_rows(cohort: "Content | PreparedCohort", wanted: int, found: int | None = None) -> MaskRows:
    """The organ rows of a cohort, as :meth:`for_training` gives it.

    Args:
        cohort: its tables.
        wanted: what :class:`uniferum.data.organ_counts.OrganCounts` says.
        found: rows that were drawn; by default as many as the manifest's mask layers can give, no file being opened.
    """
    structures = Counter(s.layer for s in cohort.vocabulary.structures.values() if s.layer != NODULE)
    layers, scans = cohort.layers_of, cohort.scans_in(TRAINING)
    given = [sum(structures[layer] for layer in layers[scan]) for scan in scans]
    possible = min(wanted, sum(given)) if found is None else found
    return MaskRows(cohort.name, "organ", wanted, possible, len(scans), given.count(0))


def nodule_rows(cohort: "Content | PreparedCohort", factor: int, found: int | None = None) -> MaskRows:
    """The nodule rows of a cohort; by default found are those of every scan with a nodule mask, no file being opened.

    Where the rows were drawn, ``found`` leaves out the scans whose mask shows no nodule.
    """
    layers, scans = cohort.layers_of, cohort.scans_in(TRAINING)
    without = sum(NODULE not in layers[scan] for scan in scans)
    possible = factor * (len(scans) - without) if found is None else found
    return MaskRows(cohort.name, "nodule", factor * len(scans), possible, len(scans), without)


def masks_command(cohort: str, kind: str, card: Mapping[str, Any], store: object) -> str:
    """The commands that make missing masks and bring them into the store.

    Args:
        cohort: its name.
        kind: ``organ`` or ``nodule``.
        card: what the store says of its cohort; empty where there is no store yet.
        store: where it is, or will be.
    """
    own = cohort_args(card, f"configs/cohorts/{CONFIGS.get(cohort, cohort.lower())}.yaml")
    prepare = prepare_command(own, store)
    if kind == "nodule":
        return prepare
    if cohort in SHIPS_MASKS:
        return f"uniferum data fetch {cohort} --out {shlex.quote(str(card.get('root') or 'FOLDER'))} ; {prepare}"
    return f"uniferum data segment {own} ; {prepare}"


def masks_error(rows: MaskRows, command: str, *, who: str = "") -> UniferumError:
    """Why a training is refused; ``who`` names what asks for the rows."""
    other = "sampling.missing_masks: warn trains without them"
    if rows.kind == "nodule":
        other = f"{other}, sampling.luna_factor: 0 without asking for any"
    must = f"not lack masks{who} (sampling.missing_masks: refuse)"
    return UniferumError(f"{rows.kind} rows of {rows.cohort}", rows.counts, must=must, cure=f"{command} ; or {other}")


def refuse_missing(rows: MaskRows, policy: MissingMasks, card: Mapping[str, Any], store: object) -> None:
    """Refuse a training for which masks are missing, where that is the policy.

    Raises:
        UniferumError: with the counts, and the command that makes the masks.
    """
    if rows.missing and policy == "refuse":
        raise masks_error(rows, masks_command(rows.cohort, rows.kind, card, store))
