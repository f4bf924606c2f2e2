"""The names that ``import uniferum`` offers, and the examples of their docstrings."""

import doctest
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

import uniferum
from tests.support.small_models import GEOMETRY, LABELS, small_config, small_model
from tests.support.small_runs import make_config, make_stores
from uniferum.model.base import Model
from uniferum.model.saved.hub import save_pretrained

EXAMPLES = [
    (uniferum, "RunConfig"),
    (uniferum, "prepare"),
    (uniferum, "train_run"),
    (uniferum, "evaluate_run"),
    (uniferum, "from_pretrained"),
    (uniferum, "ask"),
    (Model, "predict"),
]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the examples take as given: a saved model, a scan, a run with its stores and folder."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("public")
    random = np.random.default_rng(0)
    hu = random.integers(-1000, 400, (40, 34, 26)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(hu, np.diag([10.0, 10.0, 10.0, 1.0])), root / "scan.nii.gz")
    save_pretrained(small_model(), root / "model", small_config(), GEOMETRY, LABELS)
    return {
        "folder": root / "model",
        "scan": root / "scan.nii.gz",
        "config": make_config(training={"steps": 2, "validate_every": 2}),
        "stores": make_stores(root / "stores"),
        "run_folder": root / "run",
    }


@pytest.mark.parametrize(("owner", "name"), EXAMPLES, ids=lambda value: value if isinstance(value, str) else "")
def test_the_example_of_a_docstring_runs(names: dict[str, Any], owner: object, name: str) -> None:
    (example,) = doctest.DocTestFinder(recurse=False).find(getattr(owner, name), name, module=False, globs=dict(names))
    assert example.examples, f"{name} has no example"
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example)
    assert result.failed == 0


def test_every_public_name_is_found_and_listed() -> None:
    for name in uniferum.__all__:
        assert getattr(uniferum, name) is not None
        assert name in dir(uniferum)
    with pytest.raises(AttributeError, match="no attribute 'predict_run'"):
        uniferum.predict_run  # noqa: B018


def test_importing_the_package_loads_no_torch_and_no_pandas() -> None:
    said = "import sys, uniferum; print(sorted({'torch', 'pandas', 'numpy', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_prediction_of_the_model_card_works(names: dict[str, Any]) -> None:
    card = (names["folder"] / "README.md").read_text()
    first, second = re.findall(r"```python\n(.*?)```", card, flags=re.S)
    given = {"this/folder": str(names["folder"]), "scan.nii.gz": str(names["scan"])}
    for text, value in given.items():
        first, second = first.replace(text, value), second.replace(text, value)
    space: dict[str, Any] = {}
    exec(first + second, space)
    assert space["failed"] == {} or "not answered" in next(iter(space["failed"].values()))
    assert space["model"].predict(space["volume"], ["Is there emphysema?"]).probability.shape == (1, 1)


def test_a_folder_and_a_prompt_are_enough_to_ask(names: dict[str, Any]) -> None:
    prompt = "Diagnose the presence of emphysema in the lungs"
    answers, failed = uniferum.ask(str(names["folder"]), [str(names["scan"])], [prompt], force=True)
    assert not failed
    assert answers["label"].tolist() == ["emphysema"]
    assert 0 < answers["probability"].item() < 1


def test_the_folder_of_a_run_can_be_asked_too(names: dict[str, Any]) -> None:
    uniferum.train_run(names["config"], names["stores"], names["run_folder"], device="cpu")
    answers, failed = uniferum.ask(Path(names["run_folder"]), [names["scan"]], ["Is it there?"], force=True)
    assert not failed
    assert len(answers) == 1
