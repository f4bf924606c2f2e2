"""Findings of a check of a dataset's folder: importance, number of scans and remedy.

A ``problem`` loses scans or gives wrong splits; ``to do`` is a step that is still missing; a ``note`` is information.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from uniferum.data.checks.file_faults import EMPTY, MISSING, NO_VOXELS, is_partial
from uniferum.data.checks.look import Looked
from uniferum.data.cohorts import files
from uniferum.data.cohorts.base import Cohort
from uniferum.data.cohorts.ct_rate import CtRateConfig
from uniferum.data.cohorts.inspect_ct import InspectConfig
from uniferum.data.cohorts.rad_chest import METADATA, RadChestConfig
from uniferum.data.cohorts.splits import BEYOND
from uniferum.data.fetch.plan import Record
from uniferum.data.fetch.sources import sources

Weight = Literal["problem", "to do", "note"]
Step = Literal["", "fetch", "edit", "segment", "label"]

ON_PURPOSE = (
    "brain or other non-chest scan",
    "excluded by the config",
    "another reconstruction of a study",
    "no annotated nodule",
    "corrupt affine",
    "more than one channel",
    BEYOND,
)
"""Exclusion reasons of the cohorts that no download changes."""

ON_DISK = {"volume file is empty": f"volumes: {EMPTY}", "voxel file of the volume missing": f"volumes: {NO_VOXELS}"}
"""Exclusion reasons of the cohorts that the check of the file finds too, with its words for them."""

WITHOUT_ROW = "scan without a label row"
EXAMPLES = 3


@dataclass(frozen=True)
class CheckFinding:
    """One kind of finding.

    Attributes:
        weight: ``problem``, ``to do`` or ``note``.
        what: the finding, a clause.
        count: number of scans or files.
        examples: a few identifiers or paths.
        cure: the remedy.
        step: kind of the command that remedies it.
    """

    weight: Weight
    what: str
    count: int = 0
    examples: tuple[str, ...] = ()
    cure: str = ""
    step: Step = ""


def findings(cohort: Cohort, looked: Looked, record: Record | None, config: str) -> list[CheckFinding]:
    """List all findings, problems first.

    Args:
        cohort: the opened cohort.
        looked: see :func:`~uniferum.data.checks.look.look`.
        record: record of ``uniferum data fetch``, if it filled the folder.
        config: the cohort's YAML file, for the messages.
    """
    all_findings = [
        *_partial(cohort.config.root),
        *_unfetched(cohort.config.root, record),
        *_dropped(looked, record),
        *_faults(looked),
        *_tables(cohort),
        *_splits(cohort, looked, record, config),
        *_masks(cohort, looked),
    ]
    order = ("problem", "to do", "note")
    return sorted(all_findings, key=lambda finding: order.index(finding.weight))


def _partial(root: Path) -> Iterator[CheckFinding]:
    """Unfinished downloads, including those in the folder of the hub's client."""
    unfinished = []
    for folder, _, names in os.walk(root):
        unfinished += [os.path.relpath(Path(folder, name), root) for name in names if is_partial(name)]
    if unfinished:
        cure = "repeat the command of the download to continue it"
        yield CheckFinding("problem", "unfinished downloads", len(unfinished), _few(sorted(unfinished)), cure, "fetch")


def _unfetched(root: Path, record: Record | None) -> Iterator[CheckFinding]:
    """Files of ``uniferum data fetch`` that are missing or incomplete."""
    if record is None:
        return
    gone = record.missing(root)
    gone = [path for path in gone if not record.files[path].get("unpacked")]
    if gone:
        what = f"files of the fetch ({len(record.files)} in all) are missing or of another size"
        yield CheckFinding("problem", what, len(gone), _few(gone), "repeat the fetch to continue it", "fetch")
    elif not record.done:
        yield CheckFinding("problem", "the fetch is not finished", cure="repeat it to continue", step="fetch")
    requested = ", ".join(f"{part} {'whole' if n is None else f'at most {n}'}" for part, n in record.limits.items())
    yield CheckFinding("note", f"fetched by request: {requested} (revision {record.revision[:12]})")


def _dropped(looked: Looked, record: Record | None) -> Iterator[CheckFinding]:
    """Scans that the cohort excludes."""
    fetched = {_stem(path) for path in record.files} if record else set()
    partly = record is not None and _is_part(record)
    for reason, names in looked.dropped.items():
        if reason in ON_PURPOSE:
            yield CheckFinding("note", f"excluded: {reason}", len(names), _few(names))
        elif reason == files.MISSING:
            not_requested = [name for name in names if partly and name not in fetched]
            rest = [name for name in names if not partly or name in fetched]
            if not_requested:
                yield CheckFinding(
                    "note", "the table has scans that were not requested", len(not_requested), _few(not_requested)
                )
            if rest:
                what = "the table has scans whose volume is missing"
                yield CheckFinding("problem", what, len(rest), _few(rest), "fetch them", "fetch")
        elif reason in ON_DISK:
            yield CheckFinding("problem", ON_DISK[reason], len(names), _few(names), "fetch it again", "fetch")
        else:
            yield CheckFinding("problem", f"excluded: {reason}", len(names), _few(names))
    gone, loose = len(looked.dropped.get(files.MISSING, ())), len(looked.dropped.get(WITHOUT_ROW, ()))
    if gone and loose and not looked.usable.total() and not looked.faults:
        cure = "use the label table of this version of the dataset"
        what = "no row of the label tables has an existing volume: is it the wrong label file?"
        yield CheckFinding("problem", what, gone + loose, cure=cure)


def _faults(looked: Looked) -> Iterator[CheckFinding]:
    for (kind, fault), names in sorted(looked.faults.items()):
        again = "fetch it again" if fault != MISSING else "fetch it"
        cost = (
            "each loses a scan" if kind == "volume" else "the scan is refused, or loses the mask (keep_with_bad_mask)"
        )
        yield CheckFinding("problem", f"{kind}s: {fault}", len(names), _few(names), f"{again}; {cost}", "fetch")


def _tables(cohort: Cohort) -> Iterator[CheckFinding]:
    """Missing tables that change what is read, without being an error."""
    settings, root = cohort.config, cohort.config.root
    if isinstance(settings, CtRateConfig):
        for part, count in (("train", 752), ("valid", 37)):
            path = root / "dataset" / "metadata" / f"no_chest_{part}.txt"
            if not path.is_file():
                what = f"{path.name} is missing: {count} brain scans of {part} are not excluded"
                yield CheckFinding("problem", what, cure="fetch gets all tables", step="fetch")
        metadata = root / "dataset" / "metadata"
        if settings.version == "v2" and not (metadata / "train_metadata.csv").is_file():
            yield CheckFinding("note", "dataset/metadata/train_metadata.csv is missing: v2 does not need it, v1 would")
    if isinstance(settings, RadChestConfig) and not (root / METADATA).is_file():
        what = f"{METADATA} is missing: each scan counts as a separate patient"
        yield CheckFinding("to do", what, cure="fetch gets all tables", step="fetch")
    if isinstance(settings, InspectConfig) and settings.report_labels is None:
        what = "the 12 labels from impressions are missing: the shared group of INSPECT will be n/a"
        cure = "make them with uniferum data label-reports, then set report_labels: report_labels.csv in the YAML"
        yield CheckFinding("to do", what, cure=cure, step="label")


def _splits(cohort: Cohort, looked: Looked, record: Record | None, config: str) -> Iterator[CheckFinding]:
    """Splits that would be empty after preparation, and patients in several splits."""
    for split in cohort.expected():
        if not looked.usable[split]:
            yield _empty_split(cohort, split, looked, record, config)
    several = Counter(patient for patients in looked.patients.values() for patient in patients)
    leaks = [patient for patient, count in several.items() if count > 1]
    if leaks:
        yield CheckFinding("problem", "patients are in more than one split", len(leaks), _few(leaks))


def _empty_split(cohort: Cohort, split: str, looked: Looked, record: Record | None, config: str) -> CheckFinding:
    settings = cohort.config
    ours = {"test": "valid", "validation": "train"} if isinstance(settings, CtRateConfig) else {"validation": "valid"}
    if record is not None and not {ours.get(split, split), "all"} & set(record.limits):
        return CheckFinding("note", f"split {split} is empty: it was not requested")
    if not isinstance(settings, CtRateConfig):
        return CheckFinding("problem", f"split {split} is empty", cure="fetch the rest", step="fetch")
    held_out, count = len(looked.patients["validation"]), settings.validation_patients
    if split == "train" and held_out:
        what = f"no training split: validation_patients ({count}) holds out all {held_out} patients of the training set"
        cure = f"fetch the rest, or set validation_patients: {max(1, held_out // 5)} in {config}"
        return CheckFinding("problem", what, held_out, cure=cure, step="edit")
    if split == "validation" and looked.usable["train"]:
        seed = settings.validation_seed
        what = f"no validation split: none of the {count} patients held out (validation_seed {seed}) exists"
        cure = f"uniferum data fetch includes some of them, or set another validation_seed in {config}"
        return CheckFinding("problem", what, cure=cure, step="edit")
    return CheckFinding("problem", f"split {split} is empty", cure="fetch the rest", step="fetch")


def _masks(cohort: Cohort, looked: Looked) -> Iterator[CheckFinding]:
    without, total = looked.without_mask.total(), looked.usable.total()
    if not without:
        return
    what = f"scans have no TotalSegmentator mask ({total} in all)"
    if isinstance(cohort.config, CtRateConfig):
        cure = "CT-RATE contains them in dataset/ts_seg/ts_total; fetch them"
        yield CheckFinding("to do", what, without, cure=cure, step="fetch")
    elif cohort.config.masks_root is None:
        cure = "set masks_root: ts_total in the YAML, then uniferum data segment"
        yield CheckFinding("to do", what, without, cure=cure)
    else:
        yield CheckFinding("to do", what, without, cure="make them with uniferum data segment", step="segment")


def _is_part(record: Record) -> bool:
    """Whether a fetch was limited by a number of scans or to a split."""
    source = sources().get(record.dataset)
    every = set(source.splits) if source is not None else set()
    return any(limit is not None for limit in record.limits.values()) or not every <= {*record.limits}


def _stem(path: str) -> str:
    name = path.rsplit("/", 1)[-1]
    for ending in (".nii.gz", ".npz", ".mhd"):
        name = name.removesuffix(ending)
    return name


def _few(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(names[:EXAMPLES])
