"""pyproject.toml declares what is imported, and the core works where the extras are not installed."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = {"uniferum", "orchestration", "cli", "tests", "input", "paper_learns"}  # the last two: modules of benchmarks/

BLOCKED = ("ray", "mlflow", "optuna", "sqlalchemy", "aiohttp", "filelock", "psutil")
BARE = f"""
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


def _plain(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name.group()).lower()


def _declared(*extras: str) -> set[str]:
    listed = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in extras)]
    return {_plain(requirement) for requirements in listed for requirement in requirements}


def _imports(folder: str) -> Iterator[str]:
    """Top-level packages that a folder's modules import, those of Python and of this project left out."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            yield from (
                top for name in names if (top := name.partition(".")[0]) not in {*sys.stdlib_module_names, *OURS}
            )


def _distributions(packages: Iterable[str]) -> dict[str, set[str]]:
    distributions = packages_distributions()
    return {name: {_plain(one) for one in distributions.get(name, (name,))} for name in set(packages)}


@pytest.mark.parametrize(
    ("folder", "extras"),
    [
        ("uniferum", ()),
        ("cli", ()),
        ("orchestration", ("grid",)),
        ("tests", ("grid", "postgres", "dev")),
        ("benchmarks", ("grid", "dev")),
    ],
)
def test_what_is_imported_is_declared(folder: str, extras: tuple[str, ...]) -> None:
    declared = _declared(*extras)
    assert [
        name for name, distributions in _distributions(_imports(folder)).items() if not distributions & declared
    ] == []


def test_what_the_core_and_the_grid_declare_is_imported() -> None:
    imported = set().union(
        *_distributions([n for f in ("uniferum", "cli", "orchestration") for n in _imports(f)]).values()
    )
    assert _declared("grid") - imported == set()


def test_the_recorded_versions_are_of_declared_packages() -> None:
    from uniferum.run.result import PACKAGES

    assert {_plain(name) for name in PACKAGES} - _declared("grid") == set()


def test_every_declared_version_is_pinned() -> None:
    pins = {_plain(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    assert _declared("grid", "postgres", "offline", "dashboard", "dev") - pins == set()


def _bare(code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-c", BARE + code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )


def test_the_core_works_without_the_grid() -> None:
    ended = _bare("""
import uniferum.run
from uniferum.run import train_run, RunConfig
from uniferum.evaluation.curves import average_precision
RunConfig(name="core", train_on=("CTRATE",))
print(average_precision([0, 1], [0.1, 0.9]))
""")
    assert (ended.returncode, ended.stdout) == (0, "1.0\n"), ended.stderr


def test_the_command_line_names_the_missing_extra() -> None:
    start = "from cli.main import main; sys.argv = ['uniferum', {}]; main()"
    assert _bare(start.format("'--help'")).returncode == 0
    ended = _bare(start.format("'grid', 'run', 'configs/demo_grid.yaml', '--yes'"))
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1] == (
        "error: sqlalchemy is not installed; the extra 'grid' has it: pip install --editable '.[grid]'"
    )
    assert "Traceback" not in ended.stderr
