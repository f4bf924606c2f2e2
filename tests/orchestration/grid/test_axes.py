"""Axes of a grid file: products, pairs, names, what is left out, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestration.grid.axes import unsafe
from orchestration.grid.cells import Cell, expand, select
from orchestration.grid.config import load_grid
from uniferum.errors import UniferumError
from uniferum.value_labels import label_of, name_part

AXES = {
    "lr": {"key": "optim.lr", "values": [5.0e-5, 1.0e-4, 3.0e-4]},
    "freeze": {"key": "model.text.freeze", "values": [True, False]},
    "encoder": {
        "values": {
            "b0": {"model": {"encoder": {"name": "tf_efficientnet_b0"}}},
            "lite": {"model": {"encoder": {"name": "tf_efficientnet_lite0", "weights": "none"}}},
        }
    },
    "luna": {"key": "sampling.luna_factor", "values": [0, 10]},
}
TINY = {"name": "tiny"}


def write(folder: Path, *cells: dict[str, Any], **changes: object) -> Path:
    grid = {
        "name": "g",
        "root": str(folder / "runs"),
        "stores": {name: str(folder / name) for name in ("CTRATE", "INSPECT", "LUNA16")},
        "evaluate_on": ["CTRATE"],
        "text_encoders": {"small": TINY},
        "axes": AXES,
        "cells": [{"text_encoder": "small", "train_on": "CTRATE", **cell} for cell in cells],
    }
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump({**grid, **changes}, sort_keys=False))
    return path


def cells_of(folder: Path, *cells: dict[str, Any], **changes: object) -> list[Cell]:
    path = write(folder, *cells, **changes)
    return expand(load_grid(path), source="grid.yaml")


def names(cells: list[Cell]) -> list[str]:
    return [cell.name.removeprefix("uniferum-small-") for cell in cells]


def refused(folder: Path, *cells: dict[str, Any], **changes: object) -> str:
    with pytest.raises(UniferumError) as caught:
        cells_of(folder, *cells, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_vary_is_a_product_whose_cells_have_the_values_and_are_named_by_them(tmp_path: Path) -> None:
    cells = cells_of(tmp_path, {"vary": ["lr", "freeze"], "train_on": ["CTRATE", "INSPECT"]})
    rates = ("5e-5", "1e-4", "3e-4")
    assert names(cells) == [
        f"{mix}-lr{rate}-freeze_{freeze}"
        for mix in ("CTRATE", "INSPECT")
        for rate in rates
        for freeze in ("true", "false")
    ]
    for cell in cells:
        assert cell.axes == {
            "lr": label_of(cell.config.optim.lr),
            "freeze": label_of(cell.config.model.text.freeze),
        }


def test_zip_takes_pairs_and_vary_is_a_product_with_them(tmp_path: Path) -> None:
    cells = cells_of(tmp_path, {"vary": "lr", "zip": ["freeze", "encoder"]})
    pairs = {(c.config.optim.lr, c.config.model.text.freeze, c.config.model.encoder.name) for c in cells}
    assert pairs == {
        (rate, freeze, name)
        for rate in AXES["lr"]["values"]
        for freeze, name in ((True, "tf_efficientnet_b0"), (False, "tf_efficientnet_lite0"))
    }
    assert names(cells)[0] == "CTRATE-lr5e-5-freeze_true-encoder_b0"


def test_a_bundle_sets_all_of_its_keys(tmp_path: Path) -> None:
    b0, lite = cells_of(tmp_path, {"vary": ["encoder"]})
    assert (b0.config.model.encoder.weights, lite.config.model.encoder.weights) == ("imagenet", "none")


def test_a_cell_has_its_own_name_with_what_varies_behind_it(tmp_path: Path) -> None:
    axes = {"drop": {"key": "model.text.dropout", "values": [0.1, 0.2]}}
    long = {"name": "my-long-run", "set": {"training": {"steps": 50000, "validate_every": 50000}}}
    cells = cells_of(tmp_path, {}, long, {"name": "rates", "vary": ["drop"]}, axes=axes, seeds=[0, 2])
    assert [cell.name for cell in cells] == [
        f"{name}{seed}"
        for seed in ("", "-seed2")
        for name in ("uniferum-small-CTRATE", "my-long-run", "rates-drop0.1", "rates-drop0.2")
    ]
    assert cells[1].config.training.steps == 50000


def test_names_stay_as_they_are_when_an_axis_gains_a_value(tmp_path: Path) -> None:
    before = names(cells_of(tmp_path, {"vary": ["lr"]}))
    more = {**AXES, "lr": {"key": "optim.lr", "values": [1, 2.0e-3, *AXES["lr"]["values"]]}}
    assert set(before) < set(names(cells_of(tmp_path, {"vary": ["lr"]}, axes=more)))


def test_values_may_have_names_of_their_own(tmp_path: Path) -> None:
    named = {"lr": {"key": "optim.lr", "values": {"slow": 1.0e-5, "fast": "1e-3"}}}
    cells = cells_of(tmp_path, {"vary": ["lr"]}, axes=named)
    assert [(name, cell.config.optim.lr) for name, cell in zip(names(cells), cells, strict=True)] == [
        ("CTRATE-lr_slow", 1e-5),
        ("CTRATE-lr_fast", 1e-3),
    ]


def test_an_axis_goes_before_the_text_encoder_and_overrides(tmp_path: Path) -> None:
    axes = {"layers": {"key": "model.text.layers", "values": [1, 2]}}
    encoders = {"small": {**TINY, "layers": 4}}
    rule = {"when": {"model": "uniferum"}, "set": {"model": {"text": {"layers": 8}}}}
    cells = cells_of(tmp_path, {"vary": ["layers"]}, axes=axes, text_encoders=encoders, overrides=[rule])
    assert [cell.config.model.text.layers for cell in cells] == [1, 2]


def test_when_of_overrides_matches_axes(tmp_path: Path) -> None:
    rule = {"when": {"lr": [3.0e-4, "1e-4"], "freeze": True}, "set": {"optim": {"warmup_steps": 7}}}
    cells = cells_of(tmp_path, {"vary": ["lr", "freeze"]}, {}, overrides=[rule])
    assert names([cell for cell in cells if cell.config.optim.warmup_steps == 7]) == [
        "CTRATE-lr1e-4-freeze_true",
        "CTRATE-lr3e-4-freeze_true",
    ]


def test_exclude_leaves_cells_out(tmp_path: Path) -> None:
    exclude = [{"lr": 3.0e-4, "freeze": False}, {"lr": [5e-5], "seed": 1}]
    cells = cells_of(tmp_path, {"vary": ["lr", "freeze"]}, exclude=exclude, seeds=[0, 1])
    left = {(cell.axes["lr"], cell.axes["freeze"], cell.seed) for cell in cells}
    assert len(cells) == 12 - 2 - 2
    assert not {("3e-4", "false", 0), ("3e-4", "false", 1), ("5e-5", "true", 1), ("5e-5", "false", 1)} & left


def test_an_axis_without_effect_on_a_cell_is_left_out_of_it(tmp_path: Path) -> None:
    cells = cells_of(tmp_path, {"train_on": ["CTRATE", "CTRATE+SEG"], "vary": ["luna", "lr"]}, seeds=[0])
    without = [cell for cell in cells if cell.mix == "CTRATE"]
    assert names(without) == ["CTRATE-lr5e-5", "CTRATE-lr1e-4", "CTRATE-lr3e-4"]
    assert len(cells) == 3 + 2 * 3


def test_an_axis_on_which_an_override_depends_has_an_effect(tmp_path: Path) -> None:
    rule = {"when": {"luna": 0}, "set": {"optim": {"warmup_steps": 7}}}
    assert names(cells_of(tmp_path, {"vary": ["luna"]}, overrides=[rule])) == ["CTRATE-luna0", "CTRATE"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lr=1e-4,train_on=CTRATE*", ["CTRATE-lr1e-4-freeze_true", "CTRATE-lr1e-4-freeze_false"]),
        ("lr=0.0001,freeze=true", ["CTRATE-lr1e-4-freeze_true", "INSPECT-lr1e-4-freeze_true"]),
        ("name=*INSPECT-lr3e-4*,freeze=f*", ["INSPECT-lr3e-4-freeze_false"]),
        ("uniferum-small-CTRATE-lr5e-5-freeze_true", ["CTRATE-lr5e-5-freeze_true"]),
    ],
)
def test_only_selects_cells_by_values(tmp_path: Path, text: str, expected: list[str]) -> None:
    cells = cells_of(tmp_path, {"vary": ["lr", "freeze"], "train_on": ["CTRATE", "INSPECT"]})
    assert names(select(cells, [text])) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lrr=1e-4", "did you mean 'lr'"),
        ("lr=2e-4", "fit at least one cell; lr: 5e-5, 1e-4, 3e-4"),
        ("uniferum-small-CTRATE-lr5e-4", "did you mean 'uniferum-small-CTRATE-lr"),
    ],
)
def test_a_selection_of_nothing_is_refused(tmp_path: Path, text: str, words: str) -> None:
    cells = cells_of(tmp_path, {"vary": ["lr"]})
    with pytest.raises(UniferumError, match=words):
        select(cells, [text])


@pytest.mark.parametrize(
    ("cell", "changes", "words"),
    [
        ({"vary": ["lrr"]}, {}, ["grid.yaml: cells.0: vary or zip (lrr)", "did you mean 'lr'"]),
        ({"vary": ["lr"], "zip": ["lr"]}, {}, ["(lr) must be named once"]),
        ({"zip": ["lr", "freeze"]}, {}, ["cells.0: zip (lr has 3, freeze has 2)", "equally many values"]),
        ({"vary": ["lr"], "set": {"optim": {"lr": 1}}}, {}, ["cells.0 (optim.lr)", "axis lr and set of the entry"]),
        ({"name": "a", "train_on": ["CTRATE", "INSPECT"]}, {}, ["cells.0: name (a)", "one training mix"]),
        ({"name": "a/b"}, {}, ["cells.0.name (a/b) must match pattern"]),
        ({"name": "../../b"}, {}, ["cells.0.name"]),
        ({"name": "x" * 201}, {}, ["more than 200 bytes"]),
        ({"vary": ["lr"]}, {"exclude": [{"lr": 1}]}, ["exclude.0 (lr=1)", "its values: 5e-5, 1e-4, 3e-4"]),
        ({"vary": ["lr"]}, {"exclude": [{"freeze": True}]}, ["exclude.0 (freeze=true) must fit at least one cell"]),
        ({"vary": ["lr"]}, {"exclude": [{"rate": 1}]}, ["exclude.0 (rate)", "an axis; "]),
        ({}, {"exclude": [{"train_on": "CTRATE"}]}, ["exclude must leave at least one cell"]),
        ({}, {"overrides": [{"when": {"lrr": 1}, "set": {}}]}, ["overrides.0.when (lrr)", "did you mean 'lr'"]),
        ({"vary": ["lr"]}, {"exclude": [{"lr": [1.0e-4, 1]}]}, ["exclude.0 (lr=1) must name values of axis lr"]),
        ({}, {"overrides": [{"when": {"model": "unferum"}, "set": {}}]},
         ["overrides.0.when: model (unferum)", "did you mean 'uniferum'"]),
        ({}, {"overrides": [{"when": {"text_encoder": ["small", "smal"]}, "set": {}}]},
         ["when: text_encoder (smal)", "did you mean 'small'"]),
        ({}, {"overrides": [{"when": {"train_on": "CTRATE*"}, "set": {}}]},
         ["when: train_on (CTRATE*)", "without patterns"]),
        ({}, {"overrides": [{"when": {"seed": "1"}, "set": {}}]}, ["when: seed (1) must be a whole number"]),
        ({"vary": ["stride"]}, {"axes": {"stride": {"key": "model.encoder.stride", "values": [32]}},
                                "defaults": {"geometry": {"spacing_mm": [4, 4, 4], "model_shape": [48, 40, 32]}}},
         ["axes.stride: value stride=32 in cell uniferum-small-CTRATE-stride32:", "model.encoder.stride (32) must"]),
        ({"model": "cnn", "train_on": "CTRATE+SEG", "text_encoder": None}, {},
         ["cell cnn-CTRATE+SEG: train_on", "cnn predicts no masks", "write train_on: CTRATE"]),
        ({"model": "cnn"}, {}, ["cell cnn-small-CTRATE: text_encoder (small) must be left out", "cnn reads no text"]),
        ({"text_encoder": "a/b"}, {"text_encoders": {"a/b": TINY}}, ["text_encoders (a/b) must be a name", "has '/'"]),
        ({"text_encoder": ".."}, {"text_encoders": {"..": TINY}}, ["has '..'"]),
        ({"text_encoder": "it's"}, {"text_encoders": {"it's": TINY}}, ["has a quote"]),
        ({"text_encoder": "a\nb"}, {"text_encoders": {"a\nb": TINY}}, ["has a control character"]),
        *(({"name": "own", "text_encoder": key}, {"text_encoders": {key: TINY}},
           [f"text_encoders ({key}) must be a name for cells and --only", "use letters, digits and _ . + -"])
          for key in ("a b", "a*", "[ab]", "a,b", "a=b", "a?")),
        ({}, {"stores": {"CT RATE": "stores/ctrate"}}, ["stores (CT RATE)", "has a character that a pattern can use"]),
        ({}, {"stores": {"CT+RATE": "stores/ctrate"}}, ["stores (CT+RATE)", "has '+', which joins cohorts"]),
        ({"vary": ["network"]}, {"axes": {"network": {"values": {"b0": {"model": {"encoder": {
            "name": "tf_eficientnet_b0", "weights": "none"}}}}}}},
         ["axes.network: value network=b0 in cell uniferum-small-CTRATE-network_b0: model.encoder.name",
          "did you mean 'tf_efficientnet_b0'"]),
    ],
)  # fmt: skip
def test_a_wrong_entry_is_one_line_with_its_place_and_remedy(
    tmp_path: Path, cell: dict[str, Any], changes: dict[str, Any], words: list[str]
) -> None:
    message = refused(tmp_path, cell, **changes)
    assert message.startswith(("grid.yaml: ", str(tmp_path)))
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("axis", "words"),
    [
        ({"key": "optim.lrr", "values": [1]}, "key (optim.lrr) must be a key of a run; did you mean 'optim.lr'"),
        ({"key": "optimm.lr", "values": [1]}, "did you mean 'optim'"),
        ({"values": {"a": {"model": {"encoder": {"nam": 1}}}}}, "(model.encoder.nam) must be a key of a run"),
        ({"key": "seed", "values": [1]}, "write `seeds: [...]`"),
        ({"key": "model.kind", "values": ["cnn"]}, "one entry of `cells` for each model"),
        ({"key": "optim.lr", "values": []}, "have at least one value"),
        ({"key": "optim.lr", "values": [0.1, "1e-1"]}, "have distinct values, but has 0.1 twice"),
        ({"values": [1, 2]}, "have a key, or named bundles"),
        ({"values": {"a": 1}}, "as the value of a"),
        ({"key": "geometry", "values": [{"a": 1}]}, "name values that are mappings"),
        ({"key": "optim.lr", "values": {"a/b": 1}}, "not 'a/b'"),
        ({"key": "optim.lr", "values": {"a=b": 1}}, "not 'a=b'"),
        ({"key": "optim.lr"}, "axes.x.values must be given"),
    ],
)
def test_a_wrong_axis_is_one_line_with_its_name(tmp_path: Path, axis: dict[str, Any], words: str) -> None:
    message = refused(tmp_path, {}, axes={"x": axis})
    assert "axes.x" in message
    assert words in message


@pytest.mark.parametrize("name", ["seed", "model", "train_on", "a-b", "a b", "ä", "../x"])
def test_an_axis_has_a_plain_name_that_nothing_else_has(tmp_path: Path, name: str) -> None:
    assert f"grid.yaml: axes.{name} must have" in refused(tmp_path, {}, axes={name: AXES["lr"]})


def test_two_axes_of_an_entry_that_set_one_key_are_refused(tmp_path: Path) -> None:
    axes = {**AXES, "names": {"key": "model.encoder.name", "values": ["tf_efficientnet_b1"]}}
    message = refused(tmp_path, {"vary": ["encoder", "names"]}, axes=axes)
    assert message == (
        "grid.yaml: cells.0 (model.encoder.name) must be set once, but axis names and axis encoder set it; "
        "leave one of them out"
    )
    assert len(cells_of(tmp_path, {"vary": ["encoder"]}, {"vary": ["names"]}, axes=axes)) == 3


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("optim.lr", -1, "axes.x: value x=-1 in cell uniferum-small-CTRATE-x-1: optim.lr (-1) must be greater than 0"),
        ("model.encoder.weights", "b/../d",
         "value x=b/../d in cell uniferum-small-CTRATE-x_b%2F%2E.%2Fd: model.encoder.weights"),
        ("model.text.heads", 7, "axes.x: value x=7 in cell uniferum-small-CTRATE-x7: model.text"),
        ("optim.lr", [1, 2], "value x=1x2 in cell uniferum-small-CTRATE-x1x2"),
    ],
)  # fmt: skip
def test_a_value_that_the_configuration_refuses_is_named_with_axis_and_cell(
    tmp_path: Path, key: str, value: object, words: str
) -> None:
    assert words in refused(tmp_path, {"vary": ["x"]}, axes={"x": {"key": key, "values": [value]}})


def test_two_cells_of_one_name_with_other_keys_are_refused_with_what_differs(tmp_path: Path) -> None:
    message = refused(tmp_path, {}, {"set": {"optim": {"lr": 0.1}}})
    assert "cells.1: cell (uniferum-small-CTRATE) must have a name of its own" in message
    assert "cells.0 has a cell of this name with other keys (optim.lr: 5e-05 -> 0.1)" in message
    assert "`name`" in message


def test_two_cells_that_train_the_same_are_refused_with_both_names(tmp_path: Path) -> None:
    message = refused(tmp_path, {}, {"name": "other", "set": {"sampling": {"luna_factor": 0}}})
    assert "cells.1: cell (other) must differ from every other cell in what it trains" in message
    assert "it equals uniferum-small-CTRATE of cells.0" in message
    assert "sampling.luna_factor: 10 -> 0" in message


def test_names_that_collide_by_their_parts_are_refused(tmp_path: Path) -> None:
    axes = {"a": {"key": "optim.lr", "values": [12]}, "a1": {"key": "optim.lr", "values": [2]}}
    assert "must have a name of its own" in refused(tmp_path, {"vary": ["a"]}, {"vary": ["a1"]}, axes=axes)


VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@given(VALUES | st.lists(VALUES, max_size=3))
def test_the_part_of_a_name_is_safe_as_a_file_name(value: object) -> None:
    part = name_part("axis", label_of(value))
    assert unsafe(part) in ("", "has more than 200 bytes")
    assert part.isascii()
    assert " " not in part


def test_the_grid_file_of_the_documentation_has_the_cells_that_its_page_says(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs/how-to/axes.md").read_text(encoding="utf-8")
    path = tmp_path / "grid.yaml"
    path.write_text(page.split("```yaml\n")[1].split("```")[0])
    cells = expand(load_grid(path))
    assert f"The grid above has {len(cells)} cells" in page
    assert "uniferum-small-CTRATE+SEG-lr1e-4-freeze_true" in [cell.name for cell in cells]
    assert {cell.config.optim.warmup_steps for cell in cells if cell.axes.get("lr") == "3e-4"} == {100}


def test_augmentation_of_the_test_can_be_an_axis_and_label_files_cannot(tmp_path: Path) -> None:
    axis = {"tta": {"key": "evaluation.augmentations", "values": [0, 4]}}
    assert names(cells_of(tmp_path, {"vary": "tta"}, axes=axis)) == ["CTRATE-tta0", "CTRATE-tta4"]
    labels = {"own": {"values": {"a": {"evaluation": {"labels": {"CTRATE": {"x": "x.csv"}}}}}}}
    assert "axes.own: key (evaluation.labels" in refused(tmp_path, {"vary": "own"}, axes=labels)


def test_labels_of_a_cohort_without_a_store_are_refused(tmp_path: Path) -> None:
    given = {"evaluation": {"labels": {"CTRAET": {"refined": "x.csv"}}}}
    said = refused(tmp_path, {}, axes={}, defaults=given)
    where = "grid.yaml: cell uniferum-small-CTRATE: evaluation.labels"
    assert said.startswith(f"{where} (CTRAET) must have a store; did you mean 'CTRATE'?")
