"""Names in source and tests: none of the words that the glossary replaced, no class name twice, no standard module's.

``docs/glossary.md`` says what is used instead of each word. Only names that this project defines are looked at
(classes, functions, arguments, variables, attributes, modules), not those that it calls in other libraries. Texts are
not looked at: stored formats (the table ``wishes``, the folder ``lanes``, a split's key ``found``) keep their names.
"""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PACKAGES = ("uniferum", "orchestration", "cli")
FILES = {
    path.relative_to(PROJECT): ast.parse(path.read_text(encoding="utf-8"))
    for package in (*PACKAGES, "tests")
    for path in sorted((PROJECT / package).rglob("*.py"))
}
SOURCES = {path: tree for path, tree in FILES.items() if path.parts[0] in PACKAGES}

WORDS = re.compile(
    r"lanes?|wish(es)?|grant(s|ed)?|desks?|mirror(s|ed)?|senders?|keepers?|manners?|reap(s|ed|er|ers)?"
    r"|likeness|steer(s|ing)?"
)
"""No part of a name; nor is `patience`, except in `uniferum`, where it is PyTorch's own word (ReduceLROnPlateau)."""

NAMES = re.compile(r"found|_?places?|PLACES|told")
"""No name of its own: it does not say what was found, or the place of what."""

CLASSES = frozenset({"Held", "Driver", "Work", "Ended", "Assignment", "Outcome", "Patience", "RayLanes"})
"""No class."""

MODULES = frozenset(
    {
        "room",
        "view",
        "steering",
        "tracking",
        "spooled",
        "fusion",
        "tokens",
        "products",
        "memory",
        "compiled",
        "segments",
        "multiple",
        "preparation",
        "prepared",
        "listener",
        "lanes",
        "drive",
        "submission",
    }
)
"""No module file; ``tracking`` is the name of a room, that is of a package."""

VAGUE = re.compile(r"items?|utils?|managers?|helpers?|handlers?|factor(y|ies)|experiments?|jobs?")
"""No part of a module's or a class's name."""

ALLOWED_WORDS = frozenset(
    {
        "mirrored",  # anatomy: an image or a mask with left and right exchanged (the flag `mask_mirrored`)
        "steer",  # cli/steer.py, the group of commands that other shells give to a driver
    }
)
STORED_NAMES = frozenset({"uniferum/data/organ_rows.py", "uniferum/data/provenance.py"})
"""Files whose ``found`` is a key of ``result.json`` and of ``splits.json``."""

FOREIGN_NAMES = frozenset({"tests/support/kuberay_model.py"})
"""Files whose classes are named as another project's API names them."""

ALLOWED_MODULES = frozenset({"job"})  # orchestration/cluster/job.py: a Ray Job, Ray's own word
ALLOWED_STANDARD = frozenset({"site"})  # uniferum/report/site: imported by its whole name only


def words_of(name: str) -> list[str]:
    """The words of a name in snake case or camel case, in lower case."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+", name)]


def defined_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that a module defines, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name, node.lineno
            case ast.arg():
                yield node.arg, node.lineno
            case ast.Name(ctx=ast.Store()):
                yield node.id, node.lineno
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr, node.lineno
            case ast.alias(asname=str(name)):
                yield name, node.lineno
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name, node.lineno


def classes(files: Mapping[Path, ast.AST]) -> Iterator[tuple[str, str]]:
    """Every class of the files and where it is defined."""
    for path, tree in files.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                yield node.name, f"{path}:{node.lineno}"


def modules(files: Mapping[Path, ast.AST]) -> Iterator[tuple[str, Path]]:
    """Every module's own name (a test's without ``test_``) and its file; a package is named as its folder."""
    for path in files:
        name = path.parent.name if path.name == "__init__.py" else path.stem
        yield name.removeprefix("test_"), path


def replaced(word: str, path: Path) -> bool:
    """Whether a word of a name is one of those that the glossary replaced."""
    if word == "patience":
        return "uniferum" not in path.parts
    return word not in ALLOWED_WORDS and bool(WORDS.fullmatch(word))


def test_no_name_holds_a_word_that_the_glossary_replaced() -> None:
    faults = []
    for path, tree in FILES.items():
        for name, line in defined_names(tree):
            words = [word for word in words_of(name) if replaced(word, path)]
            if words:
                faults.append(f"{path}:{line}: {name}")
    assert not faults, "see docs/glossary.md:\n" + "\n".join(faults)


def test_names_say_what_they_hold() -> None:
    faults = [
        f"{path}:{line}: {name}"
        for path, tree in FILES.items()
        for name, line in defined_names(tree)
        if NAMES.fullmatch(name) and not (name == "found" and str(path) in STORED_NAMES)
    ]
    assert not faults, "\n".join(faults)


def test_no_class_has_a_replaced_or_a_vague_name() -> None:
    faults = [
        f"{where}: {name}"
        for name, where in classes(FILES)
        if where.rpartition(":")[0] not in FOREIGN_NAMES
        and (name in CLASSES or any(VAGUE.fullmatch(word) for word in words_of(name)))
    ]
    assert not faults, "\n".join(faults)


def test_no_module_has_a_replaced_or_a_vague_name() -> None:
    faults = [
        str(path)
        for name, path in modules(FILES)
        if (name in MODULES and path.name != "__init__.py")
        or any(replaced(word, path) for word in words_of(name))
        or (any(VAGUE.fullmatch(word) for word in words_of(name)) and name not in ALLOWED_MODULES)
    ]
    assert not faults, "\n".join(faults)


def test_every_class_name_means_one_class() -> None:
    defined = defaultdict(list)
    for name, where in classes(SOURCES):
        defined[name].append(where)
    assert {name: where for name, where in defined.items() if len(where) > 1} == {}


def test_no_module_is_named_like_one_of_the_standard_library() -> None:
    standard = sys.stdlib_module_names - ALLOWED_STANDARD
    assert [str(path) for name, path in modules(SOURCES) if name in standard] == []


@pytest.mark.parametrize(
    ("name", "words"),
    [("RayLanes", ["ray", "lanes"]), ("_take_wishes", ["take", "wishes"]), ("HTTPReaper", ["http", "reaper"])],
)
def test_names_are_cut_into_words(name: str, words: list[str]) -> None:
    assert words_of(name) == words
