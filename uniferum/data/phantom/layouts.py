"""Files of each phantom of a cohort, and its tables, with names and columns of the real datasets.

``docs/datasets.md`` gives the source of every file's name and columns.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from uniferum.data.phantom import files
from uniferum.data.phantom.acquisition import SECOND, Acquisition, draw_acquisition
from uniferum.data.phantom.cases import INSPECT_REPORT_LABELS, OUTCOMES, PhantomCase, draw_case
from uniferum.data.phantom.config import PhantomConfig, Splits
from uniferum.data.phantom.spec import rng_of, world_mm
from uniferum.data.vocabulary import Vocabulary

FOLDERS = {"CTRATE": "ct_rate", "INSPECT": "inspect/full", "RADCHEST": "rad_chest", "LUNA16": "luna16"}


@dataclass(frozen=True)
class Order:
    """One scan to write: its body, its acquisition, and its files relative to the cohort's folder."""

    cohort: str
    name: str
    case: int
    acquisition: int
    volume: str
    mask: str

    def draw(self, config: PhantomConfig) -> tuple[PhantomCase, Acquisition]:
        """Draw the body and its acquisition."""
        acquisition = draw_acquisition(config.seed, self.cohort, self.acquisition, config.voxel_mm)
        return draw_case(config.seed, self.cohort, self.case), acquisition


def numbered(splits: Splits) -> Iterator[tuple[str, int, int]]:
    """(split, number in the split, number of the body); a longer split does not change the bodies of others."""
    for position, (split, count) in enumerate(splits.model_dump().items()):
        for number in range(count):
            yield split, number, position * 100_000 + number


def table(path: Path, columns: Sequence[str], rows: Iterator[Sequence[Any]], *, delimiter: str = ",") -> None:
    """Write one table atomically."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    files.write_text(path, buffer.getvalue())


def ct_rate_orders(config: PhantomConfig) -> list[Order]:
    """CT-RATE v2: ``train_fixed`` (training and validation patients) and ``valid_fixed`` (test)."""
    splits, orders = config.ct_rate, []
    for part, count, first in (("train", splits.train + splits.validation, 0), ("valid", splits.test, 200_000)):
        for number in range(count):
            case = first + number
            twice = rng_of(config.seed + 2, "CTRATE", case).random() < config.second_reconstruction
            for reconstruction in (1, 2) if twice else (1,):
                study = f"{part}_{number + 1}_a"
                inner = f"{part}_fixed/{part}_{number + 1}/{study}/{study}_{reconstruction}.nii.gz"
                orders.append(
                    Order(
                        "CTRATE",
                        f"{study}_{reconstruction}",
                        case,
                        case + (SECOND if reconstruction == 2 else 0),
                        f"dataset/{inner}",
                        f"dataset/ts_seg/ts_total/{inner}",
                    )
                )
    return orders


def ct_rate_tables(root: Path, config: PhantomConfig, orders: Sequence[Order]) -> None:
    """Write labels, metadata, reports and the list of non-chest scans."""
    columns = Vocabulary.load().columns("CTRATE")
    data = root / "dataset"
    for part, long in (("train", "train"), ("valid", "validation")):
        drawn = [(order, *order.draw(config)) for order in orders if order.name.startswith(part)]
        table(
            data / "multi_abnormality_labels" / f"{part}_predicted_labels.csv",
            ["VolumeName", *columns.values()],
            ([f"{order.name}.nii.gz", *(case.labels[label] for label in columns)] for order, case, _ in drawn),
        )
        table(
            data / "metadata" / f"{long}_metadata.csv",
            ["VolumeName", "SeriesDescription", "ConvolutionKernel", "RescaleIntercept", "RescaleSlope", "XYSpacing",
             "ZSpacing", "ImagePositionPatient", "ImageOrientationPatient"],
            (_ct_rate_metadata(order, acquisition) for order, _, acquisition in drawn),
        )  # fmt: skip
        table(
            data / "radiology_text_reports" / f"{long}_reports.csv",
            ["VolumeName", "Findings_EN", "Impressions_EN"],
            ([f"{order.name}.nii.gz", _report(case), "Not given."] for order, case, _ in drawn),
        )
        files.write_text(data / "metadata" / f"no_chest_{part}.txt", "")


def _ct_rate_metadata(order: Order, acquisition: Acquisition) -> list[Any]:
    x, y, z = acquisition.spacing_mm
    across, down, through = acquisition.shape
    corner = (-x * (across - 1) / 2, -y * (down - 1) / 2, -z * (through - 1) / 2)
    position = [round(float(v), 3) for v in corner]
    kernel = "Br40f" if acquisition.blur_mm > 1.2 else "Bl60f"
    # The v2 files are already in HU: a reader that applied slope and intercept again would be wrong.
    return [
        f"{order.name}.nii.gz", "Thorax", kernel, -8192.0, 1.0, [round(x, 4), round(y, 4)], round(z, 4), position,
        [1, 0, 0, 0, 1, 0],
    ]  # fmt: skip


def _report(case: PhantomCase) -> str:
    present = [label.replace("_", " ") for label, value in case.labels.items() if value == 1]
    return f"Findings: {', '.join(present)}." if present else "No finding."


def inspect_orders(config: PhantomConfig) -> list[Order]:
    """INSPECT: all files in one folder, with names without information."""
    orders = []
    for _, _, case in numbered(config.inspect):
        name = f"PE{sha256(f'{config.seed}/{case}'.encode()).hexdigest()[:8]}"
        orders.append(Order("INSPECT", name, case, case, f"CTPA/{name}.nii.gz", f"ts_total/{name}.nii.gz"))
    return orders


def inspect_tables(root: Path, config: PhantomConfig, orders: Sequence[Order]) -> None:
    """Write tab-separated labels, splits, impressions and study mapping, and the labels from reports."""
    cases = [draw_case(config.seed, "INSPECT", order.case) for order in orders]
    words = {1: "True", 0: "False", None: "Censored"}
    date = "20250611"
    split_names = {"train": "train", "validation": "valid", "test": "test"}
    splits = [split for split, _, _ in numbered(config.inspect)]
    study = [100_000 + number for number in range(len(orders))]
    # Every twentieth study is a second one of the previous patient; never across splits.
    person = [
        number - 1 if number % 20 == 19 and splits[number] == splits[number - 1] else number
        for number in range(len(orders))
    ]
    table(
        root / f"labels_{date}.tsv",
        ["impression_id", "pe_positive_nlp", *OUTCOMES],
        (
            [study[n], words[case.labels["pulmonary_embolism"]], *(words[case.labels[o]] for o in OUTCOMES)]
            for n, case in enumerate(cases)
        ),
        delimiter="\t",
    )
    table(
        root / f"splits_{date}.tsv",
        ["impression_id", "split"],
        ([study[n], split_names[split]] for n, split in enumerate(splits)),
        delimiter="\t",
    )
    table(
        root / f"impressions_{date}.tsv",
        ["impression_id", "impressions"],
        ([study[n], _report(case)] for n, case in enumerate(cases)),
        delimiter="\t",
    )
    table(
        root / f"study_mapping_{date}.tsv",
        ["impression_id", "image_id", "person_id", "procedure_DATETIME", "note_DATETIME"],
        ([study[n], order.name, 5_000_000 + person[n], "2010-01-01", "2010-01-01"] for n, order in enumerate(orders)),
        delimiter="\t",
    )
    test = [n for n, split in enumerate(splits) if split == "test"]
    table(root / "report_labels.csv", ["impression_id", "label", "value"], _sampled(config, study, cases, test))


def _sampled(
    config: PhantomConfig, study: Sequence[int], cases: Sequence[PhantomCase], test: Sequence[int]
) -> Iterator[Sequence[Any]]:
    """Report labels of the test split: all positives, as many negatives, the rest unknown (paper 3.4.3)."""
    rng = np.random.default_rng([config.seed, 77])
    for label in INSPECT_REPORT_LABELS:
        positive = [n for n in test if cases[n].labels[label] == 1]
        negative = [n for n in test if cases[n].labels[label] == 0]
        chosen = rng.permutation(negative)[: len(positive)].tolist()
        for n in sorted([*positive, *chosen]):
            yield study[n], label, cases[n].labels[label]


def luna16_orders(config: PhantomConfig) -> list[Order]:
    """LUNA16: MetaImage files in ten subsets."""
    orders = []
    for case in range(config.luna16):
        digits = int(sha256(f"{config.seed}/{case}".encode()).hexdigest(), 16) % 10**30
        name = f"1.3.6.1.4.1.14519.5.2.1.6279.6001.{digits:030d}"
        orders.append(Order("LUNA16", name, case, case, f"subset{case % 10}/{name}.mhd", f"ts_total/{name}.nii.gz"))
    return orders


def luna16_tables(root: Path, config: PhantomConfig, orders: Sequence[Order]) -> None:
    """Write the nodules in world mm, LPS."""
    table(
        root / "annotations.csv",
        ["seriesuid", "coordX", "coordY", "coordZ", "diameter_mm"],
        (row for order in orders for row in _nodules(order, config)),
    )


def _nodules(order: Order, config: PhantomConfig) -> Iterator[Sequence[Any]]:
    case, acquisition = order.draw(config)
    for nodule in case.spec.nodules:
        x, y, z = world_mm(case.spec, nodule.centre, acquisition.centre_mm)
        diameter = 2 * nodule.radius * float(np.mean(case.spec.scale))
        yield order.name, round(-x, 4), round(-y, 4), round(z, 4), round(diameter, 4)
