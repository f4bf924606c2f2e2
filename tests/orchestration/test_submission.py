"""What a submission refuses before it talks to a cluster: what does not travel, and what means another place there."""

from pathlib import Path

import pytest
import yaml

from orchestration import submission
from orchestration.submission import submit_grid
from tests.orchestration.worlds import grid
from uniferum.errors import UniferumError


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working tree, which is the current folder."""
    folder = tmp_path / "tree"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def _write(path: Path, world: Path, **changes: object) -> Path:
    path.write_text(yaml.safe_dump({**grid(world).model_dump(mode="json", exclude_none=True), **changes}))
    return path


def test_a_grid_file_outside_of_the_tree_is_refused(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(UniferumError, match="lie in the working tree"):
        submit_grid(_write(tmp_path / "grid.yaml", tmp_path), "http://127.0.0.1:1", [])


@pytest.mark.parametrize(("key", "value"), [("root", "runs"), ("stores", {"CTRATE": "stores/ctrate"})])
def test_relative_places_are_refused(tree: Path, tmp_path: Path, key: str, value: object) -> None:
    with pytest.raises(UniferumError, match="absolute path that every node"):
        submit_grid(_write(tree / "grid.yaml", tmp_path, **{key: value}), "http://127.0.0.1:1", [])


def test_an_address_that_is_no_dashboard_is_refused(tree: Path, tmp_path: Path) -> None:
    file = _write(tree / "grid.yaml", tmp_path)
    with pytest.raises(UniferumError, match="http://HEAD:8265"):
        submit_grid(file, "ray://head:10001", [])
    with pytest.raises(UniferumError, match="a Ray dashboard that answers"):
        submit_grid(file, "http://127.0.0.1:1", [])


class Taken:
    """A cluster on which somebody else submits the same grid just before us."""

    def get_job_status(self, name: str) -> None:
        raise RuntimeError(f"{name} does not exist")

    def submit_job(self, submission_id: str, **job: object) -> None:
        raise RuntimeError(f"Job with submission_id {submission_id} already exists.")


def test_of_two_that_submit_at_once_the_second_attaches(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "_client", lambda address: Taken())
    file = _write(tree / "grid.yaml", tmp_path)
    assert submit_grid(file, "http://head:8265", []).identity.startswith("uniferum-g-")
