"""Mask rows that a training with SEG requests and gets, and its refusal if masks are missing (paper 3.3).

Organ tasks are drawn from the training scans with masks. A scan without masks is no error of that draw, so a training
without any organ row would start normally: the caller must check :meth:`MaskRows.missing`.
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
    from uniferum.data.prepared_cohort import PreparedCohort

CONFIGS = {"CTRATE": "ct_rate", "INSPECT": "inspect", "RADCHEST": "rad_chest", "LUNA16": "luna16"}
"""The paper's cohorts, and their files in configs/cohorts/."""
SHIPS_MASKS = frozenset({"CTRATE"})
"""Cohorts whose dataset contains organ masks, which are downloaded and not made (paper 3.5)."""


def config_of(cohort: str) -> str:
    """The cohort's YAML file among those of this project, for commands that a message suggests."""
    return f"configs/cohorts/{CONFIGS.get(cohort, cohort.lower())}.yaml"


@dataclass(frozen=True)
class MaskRows:
    """Segmentation rows of one cohort's training split.

    Attributes:
        cohort: name of the cohort.
        kind: ``organ`` or ``nodule``.
        wanted: rows that the sampling section requests; for nodules, ``luna_factor`` per scan.
        found: rows that its masks give.
        scans: number of training scans.
        without_masks: number of training scans without a mask of this kind.
    """

    cohort: str
    kind: Literal["organ", "nodule"]
    wanted: int
    found: int
    scans: int
    without_masks: int

    @property
    def missing(self) -> bool:
        """Whether the training lacks masks that it needs.

        Organs: scans have no mask, and therefore there are fewer rows than requested, or the other scans are used more
            often
        than if all had a mask; a few scans without a mask cause neither. Nodules: there is no row at all, because a
        scan without a nodule needs no mask.
        """
        if self.kind == "nodule" or not self.found:
            return self.wanted > 0 and not self.found
        served = self.scans - self.without_masks
        oftener = ceil(self.wanted / max(1, served)) > ceil(self.wanted / max(1, self.scans))
        return self.without_masks > 0 and (self.found < self.wanted or oftener)

    @property
    def counts(self) -> str:
        """Counts in words: ``40 wanted, 0 found; 50 of 50 training scans have no organ mask``."""
        without = f"{self.without_masks:,} of {self.scans:,} training scans have no {self.kind} mask"
        return f"{self.wanted:,} wanted, {self.found:,} found; {without}"

    @property
    def incomplete(self) -> bool:
        """Whether rows are fewer than requested or, for organs, some scans have no mask."""
        return self.found < self.wanted or (self.kind == "organ" and self.without_masks > 0)

    def sentence(self) -> str:
        """One line with kind, cohort and counts, without a command."""
        return f"{self.kind} rows of {self.cohort}: {self.counts}"


def organ_rows(cohort: "Content | PreparedCohort", wanted: int, found: int | None = None) -> MaskRows:
    """Count the organ rows of a cohort given by :meth:`for_training`.

    Args:
        cohort: tables of the cohort.
        wanted: requested number of rows, from :class:`uniferum.data.organ_counts.OrganCounts`.
        found: number of drawn rows; by default the number that the mask layers in the manifest allow; no file is
            opened.
    """
    structures = Counter(s.layer for s in cohort.vocabulary.structures.values() if s.layer != NODULE)
    layers, scans = cohort.layers_of, cohort.scans_in(TRAINING)
    structures_per_scan = [sum(structures[layer] for layer in layers[scan]) for scan in scans]
    possible = min(wanted, sum(structures_per_scan)) if found is None else found
    return MaskRows(cohort.name, "organ", wanted, possible, len(scans), structures_per_scan.count(0))


def nodule_rows(cohort: "Content | PreparedCohort", factor: int, found: int | None = None) -> MaskRows:
    """Count the nodule rows of a cohort; by default those of every scan with a nodule mask; no file is opened.

    If the rows were drawn, ``found`` does not include the scans whose mask has no nodule.
    """
    layers, scans = cohort.layers_of, cohort.scans_in(TRAINING)
    without = sum(NODULE not in layers[scan] for scan in scans)
    possible = factor * (len(scans) - without) if found is None else found
    return MaskRows(cohort.name, "nodule", factor * len(scans), possible, len(scans), without)


def masks_command(cohort: str, kind: str, card: Mapping[str, Any], store: object) -> str:
    """Commands that make missing masks and add them to the store.

    Args:
        cohort: name of the cohort.
        kind: ``organ`` or ``nodule``.
        card: the store's description of its cohort; empty if there is no store yet.
        store: its path or URL, existing or planned.
    """
    cohort_arguments = cohort_args(card, config_of(cohort))
    prepare = prepare_command(cohort_arguments, store)
    if kind == "nodule":
        return prepare
    if cohort in SHIPS_MASKS:
        return f"uniferum data fetch {cohort} --out {shlex.quote(str(card.get('root') or 'FOLDER'))} ; {prepare}"
    return f"uniferum data segment {cohort_arguments} ; {prepare}"


def masks_error(rows: MaskRows, command: str, *, who: str = "") -> UniferumError:
    """Error that refuses a training; ``who`` names the part that requests the rows."""
    other = "sampling.missing_masks: warn trains without them"
    if rows.kind == "nodule":
        other = f"{other}, sampling.luna_factor: 0 requests none"
    must = f"not lack masks{who} (sampling.missing_masks: refuse)"
    return UniferumError(f"{rows.kind} rows of {rows.cohort}", rows.counts, must=must, cure=f"{command} ; or {other}")


def refuse_missing(rows: MaskRows, policy: MissingMasks, card: Mapping[str, Any], store: object) -> None:
    """Refuse a training with missing masks, if that is the policy.

    Raises:
        UniferumError: with the counts, and the command that makes the masks.
    """
    if rows.missing and policy == "refuse":
        raise masks_error(rows, masks_command(rows.cohort, rows.kind, card, store))
