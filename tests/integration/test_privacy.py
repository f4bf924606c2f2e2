"""No patient name, date, free DICOM text or report text reaches a store, a table, a card, a log or a file name."""

from pathlib import Path

import nibabel
import numpy as np
import pandas
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from typer.testing import CliRunner, Result

from cli.main import app
from tests.support.cohort_layouts import table, write_inspect
from uniferum.data.vocabulary import Vocabulary

PLANTED = ("Wolkenstein", "19470311", "1947-03-11", "zebrafish", "Quittengasse")
SMALL = ("--set", "geometry.spacing_mm=[8,8,8]", "--set", "geometry.model_shape=[24,20,16]")

pytestmark = pytest.mark.integration


def invoke(*line: str, code: int = 0) -> Result:
    done = CliRunner().invoke(app, line)
    assert done.exit_code == code, (done.output, done.exception)
    return done


def assert_nothing_planted(folder: Path, *outputs: str) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    opened = [pandas.read_parquet(path).to_csv() for path in files if path.suffix == ".parquet"]  # else compressed
    outputs = (*outputs, *opened)
    for word in PLANTED:
        for text in (*outputs, *(str(path.relative_to(folder)) for path in files)):
            assert word.lower() not in text.lower()
        for path in files:
            assert word.lower().encode() not in path.read_bytes().lower(), (word, path)


def write_series(folder: Path) -> None:
    folder.mkdir(parents=True)
    series, study = generate_uid(), generate_uid()
    for number in range(12):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        slice_ = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        slice_.SOPClassUID, slice_.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        slice_.SeriesInstanceUID, slice_.StudyInstanceUID, slice_.Modality = series, study, "CT"
        slice_.PatientName, slice_.PatientBirthDate, slice_.StudyDate = "Wolkenstein^Ida", "19470311", "19470311"
        slice_.PatientAddress, slice_.StudyDescription = "Quittengasse 3", "zebrafish follow-up of Wolkenstein"
        slice_.SeriesDescription = slice_.ImageComments = "zebrafish"
        slice_.ImagePositionPatient, slice_.ImageOrientationPatient = [0, 0, 5 * number], [1, 0, 0, 0, 1, 0]
        slice_.PixelSpacing, slice_.SliceThickness, slice_.InstanceNumber = [8, 8], 5, number + 1
        slice_.Rows, slice_.Columns, slice_.SamplesPerPixel = 40, 48, 1
        slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit, slice_.PixelRepresentation = 16, 16, 15, 1
        slice_.PhotometricInterpretation = "MONOCHROME2"
        slice_.RescaleSlope, slice_.RescaleIntercept = 1, 0
        pixels = np.full((40, 48), -1000, np.int16)
        pixels[8:32, 8:40] = 40
        slice_.PixelData = pixels.tobytes()
        pydicom.dcmwrite(folder / f"slice{number}.dcm", slice_, enforce_file_format=True)


def test_a_folder_cohort_with_planted_headers_and_columns(tmp_path: Path) -> None:
    root = tmp_path / "clinic"
    write_series(root / "series")
    hu = np.full((40, 36, 20), -1000, np.int16)
    hu[8:32, 8:30] = 40
    image = nibabel.Nifti1Image(hu, np.diag([8.0, 8.0, 8.0, 1.0]))
    image.header["descrip"], image.header["aux_file"] = b"Wolkenstein 1947-03-11", b"zebrafish"
    nibabel.save(image, root / "b.nii.gz")
    (root / "damaged.nii.gz").write_bytes(b"\x1f\x8b zebrafish Wolkenstein")
    columns = ("scan_id", "path", "patient", "split", "fluid", "name", "report")
    rows = [
        ["a", "series", "p1", "train", 1, "Wolkenstein", "zebrafish 1947-03-11"],
        ["b", "b.nii.gz", "p2", "test", 0, "Wolkenstein", "zebrafish"],
        ["c", "damaged.nii.gz", "p3", "test", 0, "Wolkenstein", "zebrafish"],
    ]
    table(root / "labels.csv", columns, rows)
    config = tmp_path / "clinic.yaml"
    config.write_text(
        f"kind: folder\nname: CLINIC\nroot: {root}\ncolumns: {{patient: patient, split: split}}\n"
        "labels: {fluid: {prompt: Diagnose the presence of fluid in the chest}}\nignore: [name, report]\n",
        encoding="utf-8",
    )
    out = tmp_path / "out"
    card = invoke("data", "card", str(config), "--json")
    prepared = invoke(
        "data", "prepare", str(config), "--out", str(out), "--local", "--workers", "1", "--montage", *SMALL, code=1
    )
    assert "2 scans" in prepared.output
    assert "1 failed" in prepared.output
    counted = invoke("data", "card", str(config), "--store", str(out))
    assert_nothing_planted(out, card.output, prepared.output, counted.output)


def test_inspect_with_planted_reports_and_times(tmp_path: Path) -> None:
    root = write_inspect(tmp_path / "full", 6)
    mapping = root / "study_mapping_20250611.tsv"
    mapping.write_text(mapping.read_text(encoding="utf-8").replace("2011-02-03 04:05", "1947-03-11"), encoding="utf-8")
    label = Vocabulary.load().labels["pleural_effusion"].name
    impressions = [[i, f"Ida Wolkenstein, zebrafish: {label}." if i % 2 else "Clear, zebrafish."] for i in range(6)]
    table(root / "impressions_20250611.tsv", ("impression_id", "impressions"), impressions, "\t")
    config = tmp_path / "inspect.yaml"
    config.write_text(f"kind: inspect\nroot: {root}\n", encoding="utf-8")
    out = tmp_path / "out"
    out.mkdir()
    card = invoke("data", "card", str(config), "--json")
    shown = invoke("data", "card", str(config))
    labelled = invoke("data", "label-reports", str(config), "--out", str(out / "report_labels.csv"))
    assert "pleural_effusion,1" in (out / "report_labels.csv").read_text(encoding="utf-8")
    assert_nothing_planted(out, card.output, shown.output, labelled.output)
