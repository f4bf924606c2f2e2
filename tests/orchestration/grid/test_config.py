"""The grid files expand to the paper's cells, each with the values of the paper."""

from pathlib import Path

import pytest
import yaml

from orchestration.grid.cells import Cell, expand, select
from orchestration.grid.config import load_grid
from orchestration.grid.records import changes
from uniferum.errors import UniferumError
from uniferum.run.identity_keys import identity_of

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
PUBLISHED_MIXES = [
    "CTRATE",
    "CTRATE+INSPECT",
    "CTRATE+RADCHEST",
    "CTRATE+SEG",
    "CTRATE+INSPECT+SEG",
    "CTRATE+RADCHEST+SEG",
]


@pytest.fixture(scope="module")
def paper() -> dict[str, Cell]:
    return {cell.name: cell for cell in expand(load_grid(CONFIGS / "paper_grid.yaml"))}


def _write(folder: Path, **changes: object) -> Path:
    grid = {
        "name": "g",
        "root": str(folder / "runs"),
        "stores": {"CTRATE": "a", "INSPECT": "b"},
        "evaluate_on": ["CTRATE"],
        "text_encoders": {"small": {"name": "tiny"}},
        "cells": [{"text_encoder": "small", "train_on": "CTRATE"}],
    }
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump({**grid, **changes}))
    return path


def test_the_paper_grid_has_the_cells_of_its_tables(paper: dict[str, Cell]) -> None:
    pubmedbert = [f"uniferum-pubmedbert-{mix}" for mix in [*PUBLISHED_MIXES, "INSPECT", "RADCHEST"]]
    gatortron = [f"uniferum-gatortron-{mix}" for mix in PUBLISHED_MIXES]
    assert sorted(paper) == sorted([*pubmedbert, *gatortron, "cnn-INSPECT", "cnn-RADCHEST"])


@pytest.mark.parametrize(
    ("comparable", "said"),
    [
        ({"CTRTAE": "why"}, "did you mean 'CTRATE'"),
        ({"INSPECT": "  "}, "give a reason in comparable for INSPECT"),
        ({"INSPECT": 3}, "comparable.INSPECT"),
        (["INSPECT"], "comparable"),
    ],
)
def test_a_reason_to_compare_is_a_text_for_a_cohort_of_the_grid(tmp_path: Path, comparable: object, said: str) -> None:
    with pytest.raises(UniferumError, match=said):
        load_grid(_write(tmp_path, comparable=comparable))
    assert load_grid(_write(tmp_path, comparable={"INSPECT": "same sizes"})).comparable == {"INSPECT": "same sizes"}


def test_only_the_two_small_cohorts_alone_train_for_fewer_steps(paper: dict[str, Cell]) -> None:
    for cell in paper.values():
        expected = (10_000, 1_000) if cell.mix in ("INSPECT", "RADCHEST") else (25_000, 5_000)
        assert (cell.config.training.steps, cell.config.training.validate_every) == expected


def test_every_paper_cell_has_batch_64_as_8_times_8_and_all_three_test_sets(paper: dict[str, Cell]) -> None:
    for cell in paper.values():
        assert (cell.config.training.batch, cell.config.training.micro_batch) == (64, 8)
        assert cell.config.evaluate_on == ("CTRATE", "INSPECT", "RADCHEST")
        assert cell.config.optim.warmup_steps == 25


def test_every_paper_cell_trains_by_the_papers_recipe(paper: dict[str, Cell]) -> None:
    for cell in paper.values():
        training, optim = cell.config.training, cell.config.optim
        assert (cell.config.data.tasks_per_volume, training.precision, training.tf32) == (1, "fp32", "convolutions")
        assert optim.clip_norm == 1.0


def test_the_fast_grid_has_the_papers_cells_and_differs_in_its_recipe_alone(paper: dict[str, Cell]) -> None:
    fast = {cell.name: cell for cell in expand(load_grid(CONFIGS / "paper_fast_grid.yaml"))}
    assert list(fast) == list(paper)
    for name, cell in fast.items():
        differing = changes(paper[name].config.model_dump(mode="json"), cell.config.model_dump(mode="json"))
        assert differing == [
            "data.tasks_per_volume: 1 -> 4",
            "training.batch: 64 -> 24",
            "training.micro_batch: 8 -> None",
            "training.micro_batch_volumes: None -> 8",
            "training.precision: fp32 -> bf16",
        ]


@pytest.mark.parametrize(
    ("resources", "data", "loaders"),
    [
        ({"cpus": 8, "gpus": 1}, {}, 7),
        ({"cpus": 8, "gpus": 4, "workers": 4}, {}, 1),
        ({"cpus": 1, "gpus": 1}, {}, 1),
        ({"cpus": 1}, {}, 0),
        ({"cpus": 4}, {}, 3),
        ({"cpus": 8, "gpus": 1}, {"loader_workers": 0}, 0),
        ({"cpus": 8, "gpus": 1}, {"loader_workers": 12, "level": "full"}, 12),
    ],
)
def test_cores_set_the_loader_workers_unless_the_file_does_and_change_no_fingerprint(
    tmp_path: Path, resources: dict[str, object], data: dict[str, object], loaders: int
) -> None:
    (cell,) = expand(load_grid(_write(tmp_path, resources=resources, defaults={"data": data})))
    (alone,) = expand(load_grid(_write(tmp_path, defaults={"data": data})))
    assert cell.config.data.loader_workers == loaders
    assert identity_of(cell.config) == identity_of(alone.config)


def test_text_encoders_reach_the_model(paper: dict[str, Cell]) -> None:
    assert paper["uniferum-gatortron-CTRATE"].config.model.text.name == "UFNLP/gatortron-base"
    assert paper["cnn-INSPECT"].config.model.kind == "cnn"
    assert paper["cnn-INSPECT"].config.optim.schedule == "plateau"


def test_the_demo_grid_has_the_cells_of_the_paper_grid(paper: dict[str, Cell]) -> None:
    demo = expand(load_grid(CONFIGS / "demo_grid.yaml"))
    renamed = [name.replace("pubmedbert", "small").replace("gatortron", "wide") for name in paper]
    assert [cell.name for cell in demo] == renamed


def test_seeds_are_an_axis_and_the_first_seed_keeps_its_names(tmp_path: Path) -> None:
    cells = expand(load_grid(_write(tmp_path, seeds=[0, 3])))
    assert [(cell.name, cell.config.seed) for cell in cells] == [
        ("uniferum-small-CTRATE", 0),
        ("uniferum-small-CTRATE-seed3", 3),
    ]


def test_higher_priority_comes_first(tmp_path: Path) -> None:
    groups = [{"text_encoder": "small", "train_on": "CTRATE"}, {"model": "cnn", "train_on": "INSPECT", "priority": 5}]
    assert [cell.name for cell in expand(load_grid(_write(tmp_path, cells=groups)))] == [
        "cnn-INSPECT",
        "uniferum-small-CTRATE",
    ]


def test_dotted_overrides_reach_every_cell(tmp_path: Path) -> None:
    (cell,) = expand(load_grid(_write(tmp_path), ["defaults.training.steps=7", "root=elsewhere"]))
    assert cell.config.training.steps == 7


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cells": [{"text_encoder": "smal", "train_on": "CTRATE"}]}, "did you mean 'small'"),
        ({"cells": [{"text_encoder": "small", "train_on": "CTRAT"}]}, "did you mean 'CTRATE'"),
        ({"cells": [{"text_encoder": "small", "train_on": "CTRATE+CTRATE"}]}, "name each cohort once"),
        ({"cells": [{"text_encoder": "small", "train_on": ["CTRATE", "CTRATE"]}]}, "differ from every other"),
        ({"cels": []}, "did you mean 'cells'"),
        ({"defaults": {"training": {"step": 3}}}, "did you mean 'steps'"),
        ({"overrides": [{"when": {"modle": "cnn"}, "set": {}}]}, "did you mean 'model'"),
        ({"text_encoders": {"small": {"name": "tiny"}, "twin": {"name": "tiny"}},
          "cells": [{"text_encoder": t, "train_on": "CTRATE"} for t in ("small", "twin")]}, "it equals uniferum-small"),
    ],
)  # fmt: skip
def test_an_error_in_the_file_is_one_line_with_its_remedy(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(UniferumError) as caught:
        expand(load_grid(_write(tmp_path, **changes)))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_cell_name_suggests_the_nearest(paper: dict[str, Cell]) -> None:
    cells = list(paper.values())
    assert [cell.name for cell in select(cells, ["cnn-INSPECT"])] == ["cnn-INSPECT"]
    with pytest.raises(UniferumError, match="did you mean 'cnn-INSPECT'"):
        select(cells, ["cnn-INSPCT"])


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("mysql://grid@host/grids", "look like postgresql://USER@HOST:PORT/DATABASE"),
        ("postgresql://grid@host", "look like postgresql://USER@HOST:PORT/DATABASE"),
        ("postgresql://grid:sesame@host/grids", "hold no password"),
        ("postgresql://grid@host/grids?sslmode=require&password=sesame", "hold no password"),
    ],
)
def test_a_ledger_is_a_server_address_without_a_password(tmp_path: Path, address: str, expected: str) -> None:
    with pytest.raises(UniferumError, match=expected) as caught:
        load_grid(_write(tmp_path, ledger=address))
    assert "sesame" not in str(caught.value)


def test_the_location_of_the_ledger_changes_no_fingerprint(tmp_path: Path) -> None:
    here, there = load_grid(_write(tmp_path)), load_grid(_write(tmp_path, ledger="postgresql://grid@host/grids"))
    assert expand(here) == expand(there)


@pytest.mark.parametrize(
    "resources",
    [
        {},
        {"gpus": 1},
        {"gpus": 0.25},
        {"gpus": 4, "workers": 4},
        {"cpus": 4, "workers": 4},
    ],
)
def test_each_worker_has_one_gpu_a_part_of_one_or_none(tmp_path: Path, resources: dict[str, float]) -> None:
    made = load_grid(_write(tmp_path, resources=resources)).resources
    assert made.worker.gpus == (made.gpus if made.gpus < 1 else 1)


@pytest.mark.parametrize(
    "resources",
    [
        {"gpus": 1.5},
        {"gpus": 2},
        {"gpus": 1, "workers": 2},
        {"gpus": 0.5, "workers": 2},
        {"gpus": 3, "workers": 2},
        {"gpus": 4, "workers": 2},
    ],
)
def test_gpus_that_would_stand_idle_are_refused_in_a_line_that_names_workers(
    tmp_path: Path, resources: dict[str, float]
) -> None:
    with pytest.raises(UniferumError, match="as many gpus as workers") as caught:
        load_grid(_write(tmp_path, resources=resources))
    assert "grid.yaml: resources" in str(caught.value)
    assert f"workers is {resources.get('workers', 1)}" in str(caught.value)
    assert "\n" not in str(caught.value)
