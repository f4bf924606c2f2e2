"""A small CT-RATE and a small LUNA16 behind servers on loopback, and the real hub client pointed at them."""

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cohort_layouts import CtRateWriter, table
from tests.support.dataset_servers import Served, serving

TRAIN, VALID = 16, 6


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No token, mirror or cache of the person who runs the tests."""
    for name in ("HF_TOKEN", "HF_ENDPOINT", "ZENODO_TOKEN", "ZENODO_LINK", "ZENODO_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 4096)
    monkeypatch.setattr("time.sleep", lambda _: None)


@pytest.fixture
def ct_rate(tmp_path: Path) -> CtRateWriter:
    """16 training and 6 validation volumes of random bytes, with masks, tables and a list of non-chest scans."""
    writer = CtRateWriter(tmp_path / "served")
    names = [f"train_{i}_a_1" for i in range(TRAIN)] + [f"valid_{i}_a_1" for i in range(VALID)]
    for name in names:
        writer.volume(name)
    writer.save()
    for name in names:
        path = writer.path(name)
        path.write_bytes(os.urandom(20_000))
        mask = writer.root / "dataset/ts_seg/ts_total" / path.relative_to(writer.root / "dataset")
        mask.parent.mkdir(parents=True)
        mask.write_bytes(os.urandom(1500))
    metadata = writer.root / "dataset" / "metadata"
    metadata.mkdir()
    (metadata / "no_chest_train.txt").write_text("")
    (metadata / "no_chest_valid.txt").write_text("valid/valid_0/valid_0_a/valid_0_a_1.nii.gz\n")
    return writer


@pytest.fixture
def hub(ct_rate: CtRateWriter, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """The hub, serving it."""
    with serving(ct_rate.root) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.address)
        yield served


@pytest.fixture
def luna16(tmp_path: Path) -> Path:
    """Two archives of three scans each, two of them annotated, and a table that no cohort reads."""
    root = tmp_path / "served-luna16"
    root.mkdir()
    rows = []
    for subset in range(2):
        with zipfile.ZipFile(root / f"subset{subset}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for scan in range(3):
                uid = f"1.{subset}.{scan}"
                archive.writestr(f"subset{subset}/{uid}.mhd", "DimSize = 2 2 2\n")
                archive.writestr(f"subset{subset}/{uid}.raw", os.urandom(3000))
                rows += [[uid, 0, 0, 0, 5]] if scan else []
            archive.writestr(f"subset{subset}/notes.txt", "not unpacked")
    table(root / "annotations.csv", ("seriesuid", "coordX", "coordY", "coordZ", "diameter_mm"), rows)
    (root / "candidates.csv").write_text("seriesuid\n")
    return root


@pytest.fixture
def zenodo(luna16: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """Zenodo, serving it in two records."""
    records = {"3723295": ["annotations.csv", "candidates.csv", "subset0.zip"], "4121926": ["subset1.zip"]}
    with serving(luna16, records=records) as served:
        monkeypatch.setenv("ZENODO_ENDPOINT", served.address)
        yield served
