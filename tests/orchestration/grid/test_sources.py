"""The values of a grid file are listed with the comments beside them."""

from pathlib import Path

import pytest

from orchestration.grid.sources import UNSAID, sourced_values
from uniferum.errors import UniferumError

CONFIGS = Path(__file__).resolve().parents[3] / "configs"


def test_a_value_stands_with_the_comment_behind_it(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        "optim:\n  lr: 5.0e-5   # released\n  decay: 0.1\nname: 'a # b'  # kept whole\n"
    )
    grid = "base: base.yaml\ndefaults:\n  data: {level: full}  # ours\ncells:\n  - model: cnn  # not a value\n"
    grid += "overrides:\n  - when: {model: cnn}\n    set:\n      optim:\n        lr: 1.0e-4  # paper 4\n"
    (tmp_path / "grid.yaml").write_text(grid)
    texts = [one.texts for one in sourced_values(tmp_path / "grid.yaml")]
    assert texts == [
        ("optim.lr", "5.0e-5", "released", "base.yaml"),
        ("optim.decay", "0.1", UNSAID, "base.yaml"),
        ("name", "'a # b'", "kept whole", "base.yaml"),
        ("defaults.data", "{level: full}", "ours", "grid.yaml"),
        ("overrides[0].when", "{model: cnn}", UNSAID, "grid.yaml"),
        ("overrides[0].set.optim.lr", "1.0e-4", "paper 4", "grid.yaml"),
    ]


@pytest.mark.parametrize("name", ["paper_grid.yaml", "paper_fast_grid.yaml"])
def test_every_number_of_the_paper_s_grids_has_a_source(name: str) -> None:
    values = sourced_values(CONFIGS / name)
    assert len(values) > 40
    assert [one.key for one in values if one.source == UNSAID and any(char.isdigit() for char in one.value)] == []


def test_a_file_that_is_no_yaml_is_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text("base: [")
    with pytest.raises(UniferumError, match=r"grid\.yaml"):
        sourced_values(tmp_path / "grid.yaml")
