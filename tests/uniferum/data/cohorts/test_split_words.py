"""The record of each cohort's splits: rule, seed, and the names of absent scans."""

import json
from pathlib import Path

from tests.support.cohort_layouts import CtRateWriter, touch, write_inspect, write_rad_chest
from uniferum.data.cohorts.base import Cohort, Dropped
from uniferum.data.cohorts.ct_rate import CtRate, CtRateConfig
from uniferum.data.cohorts.folder import Folder
from uniferum.data.cohorts.folder_config import FolderConfig
from uniferum.data.cohorts.inspect_ct import Inspect, InspectConfig
from uniferum.data.cohorts.rad_chest import RadChest, RadChestConfig
from uniferum.data.phantom.layouts import FOLDERS
from uniferum.data.prepare_cohort import card_of, finish_store
from uniferum.data.provenance import SplitRule, holds_phantoms, read_words
from uniferum.preprocessing.pipeline import PreparationConfig
from uniferum.preprocessing.store.store import Store


def absent(cohort: Cohort) -> dict[str, tuple[str, str]]:
    """Scan to the split that it is absent from, and why."""
    return {one.scan_id: (one.split, one.reason) for one in cohort.entries() if isinstance(one, Dropped) and one.split}


def test_ct_rate_names_the_volumes_that_lack_and_not_those_that_its_split_leaves_out(
    ct_rate_writer: CtRateWriter,
) -> None:
    for name in ("train_1_a_1", "train_2_a_1", "valid_1_a_1", "valid_2_a_1", "valid_3_a_1", "valid_3_a_1"):
        ct_rate_writer.volume(name)
    ct_rate_writer.volume("valid_4_a_1", file=False)
    ct_rate_writer.volume("train_3_a_1", file=False)
    root = ct_rate_writer.save()
    brain = touch(root / "dataset/metadata/no_chest_valid.txt")
    brain.write_text("valid/valid_1/valid_1_a/valid_1_a_1.nii.gz\n")
    settings = {"kind": "ct_rate", "root": root, "validation_patients": 0, "exclude": ["valid_2"]}
    cohort = CtRate(CtRateConfig.model_validate(settings))
    assert absent(cohort) == {
        "valid_2_a_1": ("test", "excluded by the config"),
        "valid_4_a_1": ("test", "volume file missing"),
        "train_3_a_1": ("train", "volume file missing"),
    }, "a brain scan and a second row belong to no split"


def test_ct_rates_test_split_is_the_papers_with_all_reconstructions_alone(tmp_path: Path) -> None:
    def rule(**settings: object) -> SplitRule:
        config = CtRateConfig.model_validate({"kind": "ct_rate", "root": tmp_path, **settings})
        return CtRate(config).split_rules()["test"]

    assert rule() == SplitRule("official", papers=True)
    assert rule(reconstructions="first") == SplitRule("own", note="the first reconstruction of each study")


def test_inspect_and_rad_chest_say_which_split_they_are_and_from_which_seed(tmp_path: Path) -> None:
    write_inspect(tmp_path / "inspect")
    (tmp_path / "inspect/CTPA/PE0002.nii.gz").unlink()
    write_rad_chest(tmp_path / "rad", {"trn00002": {}, "val00004": {}, "tst00006": {}})
    (tmp_path / "rad/tst00006.npz").unlink()
    drawn = {"split": "paper_sized", "seed": 5}
    for kind, config, root, lacks in (
        (Inspect, InspectConfig, "inspect", "PE0002"),
        (RadChest, RadChestConfig, "rad", "tst00006"),
    ):
        settings = {"kind": "any", "root": tmp_path / root}
        official, sized = (kind(config.model_validate({**settings, **more})) for more in ({}, drawn))
        assert official.split_rules()["test"] == SplitRule("official")
        assert sized.split_rules()["test"] == SplitRule("paper_sized", seed=5)
        assert not any(official.papers_split().values())
        assert absent(official) == {lacks: ("test", "volume file missing")}


def test_a_finished_store_says_what_lacks_of_each_split_and_keeps_its_manifest_last(tmp_path: Path) -> None:
    for name in ("here", "failed"):
        touch(tmp_path / f"{name}.nii.gz")
    rows = ["scan,path,split", "here,here.nii.gz,test", "failed,failed.nii.gz,test", "gone,gone.nii.gz,test"]
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    config = {"kind": "folder", "name": "OWN", "root": tmp_path, "table": "labels.csv", "labels": {}}
    config |= {"columns": {"scan": "scan", "path": "path", "split": "split"}}
    cohort = Folder(FolderConfig.model_validate(config))
    store = Store.create(tmp_path / "store", card_of(cohort), PreparationConfig())
    assert finish_store(store, cohort) == 0
    word = read_words(Store.open(tmp_path / "store").splits(), source="store")["test"]
    assert (word.kind, word.papers, word.seed, word.expected) == ("own", False, None, None)
    assert (word.found, word.absent, word.absent_first) == (0, 3, ("failed", "gone", "here"))
    assert word.absent_why == {"could not be prepared": 2, "volume file missing": 1}
    assert not word.phantoms


def test_phantoms_are_known_by_the_mark_above_their_folders(tmp_path: Path) -> None:
    for folder in FOLDERS.values():
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    assert not any(holds_phantoms(tmp_path / folder) for folder in FOLDERS.values())
    (tmp_path / "phantoms.json").write_text(json.dumps({"identity": "x", "done": True}))
    assert all(holds_phantoms(tmp_path / folder) for folder in FOLDERS.values())
