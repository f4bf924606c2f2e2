"""The shipped search of the CNN baseline's unstated values."""

from pathlib import Path

from orchestration.search.config import load_search
from uniferum.model.config import HeadConfig
from uniferum.training.config import OptimConfig

FILE = Path(__file__).parents[3] / "configs" / "searches" / "cnn.yaml"


def test_the_search_of_the_cnns_unstated_values_loads_and_contains_the_defaults() -> None:
    search = load_search(FILE)
    assert search.cell.name == "cnn-INSPECT"
    space = search.config.space
    assert set(space) == {f"model.head.{key}" for key in HeadConfig.model_fields} | {
        f"optim.{key}" for key in ("lr", "weight_decay", "plateau_factor", "plateau_patience")
    }
    for key, dimension in space.items():
        default = (HeadConfig() if "head" in key else OptimConfig()).model_dump()[key.rsplit(".", 1)[1]]
        bounds = dimension.float or dimension.int
        assert bounds[0] <= default <= bounds[1] if bounds else default in (dimension.choice or ())
