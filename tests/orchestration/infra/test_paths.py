"""Relative paths of a grid file become folders of the shared storage in every command that starts it on a cluster."""

import re
import shlex
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from orchestration.grid.config import load_grid
from orchestration.infra.settings import InfraSettings
from tests.support.infra_files import grid_overrides, rendered
from tests.support.small_grids import grid
from uniferum.config import parse
from uniferum.errors import UniferumError

ROOT = Path(__file__).resolve().parents[3]
STORAGE = "/shared/lab"


def _ray_job(files: dict[str, str]) -> str:
    return yaml.safe_load(files["kuberay-job.yaml"])["spec"]["entrypoint"]


def _batch(name: str) -> Callable[[dict[str, str]], str]:
    def command(files: dict[str, str]) -> str:
        (line,) = re.findall(r"^uniferum grid run .*?(?= &$)", files[name].replace("\\\n", " "), re.MULTILINE)
        return line

    return command


def _settings(**changes: object) -> InfraSettings:
    return parse(InfraSettings, {"storage": STORAGE, **changes}, source="test")


@pytest.mark.parametrize(
    "command", [_ray_job, _batch("uniferum.slurm.sh"), _batch("uniferum.lsf.sh")], ids=["kuberay", "slurm", "lsf"]
)
def test_root_and_stores_of_the_paper_grid_are_below_storage(command: Callable[[dict[str, str]], str]) -> None:
    settings = _settings()
    words = shlex.split(command(rendered(settings, ROOT)))
    assert words[:4] == ["uniferum", "grid", "run", f"{settings.project}/{settings.grid}"]
    overrides = [value for flag, value in pairwise(words) if flag == "--set"]

    loaded, written = load_grid(ROOT / settings.grid, overrides), load_grid(ROOT / settings.grid)
    assert list(loaded.stores) == list(written.stores)
    for path in (loaded.root, *map(Path, loaded.stores.values())):
        assert path.is_absolute()
        assert path.is_relative_to(STORAGE)
    assert loaded.replace(root=written.root, stores=written.stores) == written, "nothing else is changed"


def _grid(folder: Path, **changes: object) -> InfraSettings:
    content = {**grid(folder).model_dump(mode="json", exclude_none=True), **changes}
    (folder / "grid.yaml").write_text(yaml.safe_dump(content))
    return _settings(grid="grid.yaml")


def test_absolute_paths_and_urls_stay(tmp_path: Path) -> None:
    settings = _grid(tmp_path, root="/elsewhere/runs", stores={"CTRATE": "s3://bucket/ctrate", "INSPECT": "stores/i"})
    assert grid_overrides(settings, tmp_path) == [f"stores.INSPECT={STORAGE}/stores/i"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"root": "../runs"}, "grid.yaml: root (../runs) must be a path"),
        ({"root": "runs; true"}, "grid.yaml: root (runs; true) must be a path"),
        ({"stores": {"CTRATE": "a b"}}, "grid.yaml: stores.CTRATE (a b) must be a path"),
        ({"stores": {"CT.RATE": "stores/a"}}, "grid.yaml: stores (CT.RATE) must be named"),
    ],
)
def test_a_path_outside_storage_or_with_shell_characters_is_refused(
    tmp_path: Path, changes: dict[str, object], expected: str
) -> None:
    settings = _grid(tmp_path, **changes)
    with pytest.raises(UniferumError) as caught:
        grid_overrides(settings, tmp_path)
    assert expected in str(caught.value)


def test_a_missing_grid_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UniferumError, match=r"configs/paper_grid\.yaml must exist"):
        rendered(_settings(), tmp_path)
