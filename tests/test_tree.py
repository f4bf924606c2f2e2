"""The tree of tests: it mirrors that of the source, and what test files share is in one package."""

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
PROJECT = TESTS.parent
PACKAGES = ("uniferum", "orchestration", "cli")
WITH_RAY = frozenset({"integration", "chaos"})
"""Folders whose test files import from one another's and from their `conftest.py`."""


def files() -> list[Path]:
    """Every Python file of the tests, relative to their folder."""
    return sorted(path.relative_to(TESTS) for path in TESTS.rglob("*.py"))


def package_tests() -> list[Path]:
    """The test files of the three packages."""
    return [path for path in files() if path.parts[0] in PACKAGES and path.name != "conftest.py"]


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports."""
    for node in ast.walk(ast.parse((TESTS / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_every_folder_of_tests_is_named_as_a_folder_of_the_source() -> None:
    assert [str(path) for path in package_tests() if not (PROJECT / path.parent).is_dir()] == []


def test_a_test_file_with_the_name_of_a_module_is_beside_that_module() -> None:
    modules = {path.stem for package in PACKAGES for path in (PROJECT / package).rglob("*.py")}
    faults = []
    for path in package_tests():
        name, folder = path.stem.removeprefix("test_"), PROJECT / path.parent
        if name in modules and not ((folder / f"{name}.py").exists() or (folder / name).is_dir()):
            faults.append(str(path))
    assert faults == []


def test_modules_that_tests_share_are_in_one_package() -> None:
    beside = [path for path in files() if not path.name.startswith("test_") and path.name != "conftest.py"]
    assert [str(path) for path in beside if path.parts[0] not in ("support", "mutants")] == []


def test_a_test_file_imports_from_no_other_test_file() -> None:
    faults = [
        f"{path}: {module}"
        for path in files()
        if path.parts[0] not in WITH_RAY
        for module in imports(path)
        if module.startswith("tests.") and module.split(".")[1] not in ("support", "mutants")
    ]
    assert faults == []


def test_no_test_changes_where_python_looks_for_modules() -> None:
    calls = ("sys.path." + "insert", "sys.path." + "append", "syspath" + "_prepend")
    texts = {path: (TESTS / path).read_text(encoding="utf-8") for path in files()}
    assert [str(path) for path, text in texts.items() if any(call in text for call in calls)] == []


def test_make_looks_for_tests_with_ray_where_they_are() -> None:
    line = next(line for line in (PROJECT / "Makefile").read_text().splitlines() if line.startswith("RAY_TESTS := "))
    looked_at = [PROJECT / name for name in line.split()[2:]]
    with_ray = [path for path in files() if "pytest.mark." + "ray" in (TESTS / path).read_text(encoding="utf-8")]
    assert with_ray
    assert [path for path in with_ray if not any((TESTS / path).is_relative_to(folder) for folder in looked_at)] == []
    assert [str(folder) for folder in looked_at if not folder.exists()] == []
