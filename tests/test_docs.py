"""The documentation says what the code does: Python blocks run, commands, flags, paths and names exist."""

import ast
import itertools
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from pydantic import BaseModel

from cli.main import app
from orchestration.grid.config import GridConfig
from orchestration.infra.settings import InfraSettings
from orchestration.search.config import SearchConfig
from uniferum.preprocessing.pipeline import PreparationConfig
from uniferum.run.config import RunConfig

PROJECT = Path(__file__).resolve().parents[1]
PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(PROJECT)) for page in PAGES]

NEEDS_DATA = "<!-- needs data -->"
"""On the line before a Python block that is not run: it reads stores, scans or a saved model."""

STORED = {"uniferum.test_splits", "uniferum.text_encoder", "uniferum.axis", "uniferum.slurm.sh", "uniferum.lsf.sh"}
"""Keys of files and of MLflow, and files, that look like names of Python."""

WIDTH = 100


@dataclass(frozen=True)
class Block:
    """A block of code of a page: fenced (with its language), or indented (language ``text``)."""

    language: str
    text: str
    needs_data: bool = False


def blocks(page: Path) -> Iterator[Block]:
    """The code blocks of a page in their order."""
    text = page.read_text(encoding="utf-8")
    fenced = re.compile(
        r"(?P<mark>^<!--.*-->\n)?^(?P<pad> *)```(?P<language>\w*).*\n(?P<text>(?:.*\n)*?)(?P=pad)```$", re.M
    )
    for match in fenced.finditer(text):
        yield Block(match["language"] or "text", match["text"], NEEDS_DATA in (match["mark"] or ""))
    for lines in re.findall(r"(?:^\n|\A)((?:^ {4}.*\n)+)", fenced.sub("\n", text), re.M):
        yield Block("text", lines)


def pieces(page: Path) -> Iterator[str]:
    """Inline code of a page, outside of its blocks."""
    text = re.sub(r"^( *)```.*\n(?:.*\n)*?\1```$", "", page.read_text(encoding="utf-8"), flags=re.M)
    yield from (" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", text))


def python_blocks() -> list[tuple[str, Block]]:
    """Every Python block with the name of its page."""
    return [
        (f"{name}:{number}", block)
        for name, page in zip(NAMES, PAGES, strict=True)
        for number, block in enumerate(block for block in blocks(page) if block.language == "python")
    ]


@pytest.mark.parametrize(("name", "block"), [pytest.param(name, block, id=name) for name, block in python_blocks()])
def test_python_blocks_run(name: str, block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = ast.parse(block.text, name)
    for node in ast.walk(tree):  # also where the block is not run, its imports have to exist
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in (
            "uniferum",
            "orchestration",
            "cli",
        ):
            missing = [alias.name for alias in node.names if not exists(f"{node.module}.{alias.name}")]
            assert not missing, f"{name}: {node.module} has no {missing}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "uniferum":
            assert exists(f"uniferum.{node.attr}"), f"{name}: uniferum has no {node.attr}"
    if not block.needs_data:
        monkeypatch.chdir(tmp_path)
        exec(compile(tree, name, "exec"), {"__name__": "block"})


def test_every_command_of_the_pages_exists() -> None:
    faults = [f"{name}: {line}: {fault}" for name, line in commands() for fault in faults_of(line)]
    assert not faults, "\n".join(faults)


def test_the_pages_name_commands_at_all() -> None:
    lines = [line for _, line in commands()]
    assert len(lines) > 80
    assert "uniferum grid run configs/paper_grid.yaml" in lines


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("uniferum grid start FILE", "grid has no command start"),
        ("uniferum grid run FILE --fast", "grid run has no option --fast"),
        ("uniferum report --table", "report --table needs a value"),
        ("uniferum grid logs FILE CELL OTHER", "grid logs takes 2 arguments, not 3"),
    ],
)
def test_a_command_that_does_not_exist_is_reported(line: str, fault: str) -> None:
    assert faults_of(line) == [fault]


def commands() -> Iterator[tuple[str, str]]:
    """Every ``uniferum ...`` line of a code block, and every inline one, with the name of its page."""
    for name, page in zip(NAMES, PAGES, strict=True):
        for block in blocks(page):
            if block.language in ("sh", "bash", "console", "text"):
                lines = block.text.replace("\\\n", " ").splitlines()
                yield from (
                    (name, " ".join(line.split(" #")[0].split())) for line in map(synopsis, lines) if is_command(line)
                )
        yield from ((name, piece) for piece in pieces(page) if is_command(piece))


def is_command(line: str) -> bool:
    return bool(re.match(r"\s*uniferum [a-z-]", line))


def synopsis(line: str) -> str:
    """A line without the explanation that follows after several blanks."""
    return re.split(r"(?<=\S) {3,}(?=\S)", line)[0]


def faults_of(line: str) -> list[str]:
    """What a command line names that the command line interface does not have.

    Square brackets mark what may be left out, ``a|b`` alternatives; redirections and pipes end the command.
    """
    words = [word.strip("[]") for word in shlex.split(re.split(r" [|>;]+ | && |\.\.\.", line)[0])[1:]]
    variants = itertools.product(*(word.split("|") if "=" not in word else [word] for word in words))
    return list(dict.fromkeys(fault for words in variants for fault in _fault(list(words))))


@cache
def root_command() -> Any:
    """The command line interface; Typer brings a Click of its own, so no class is named here."""
    return typer.main.get_command(app)


def _fault(words: list[str]) -> list[str]:
    command = root_command()
    path, given = "uniferum", 0
    while words:
        word = words.pop(0)
        groups = getattr(command, "commands", None)
        if word.startswith("-"):
            fault = _option_fault(command, word, words)
            if fault:
                return [f"{path} {fault}"]
        elif groups is None:
            given += 1
        elif word in groups:
            command, path = groups[word], word if path == "uniferum" else f"{path} {word}"
        else:
            return [f"{path} has no command {word}"]
    taken = [parameter.nargs for parameter in command.params if parameter.param_type_name == "argument"]
    return [f"{path} takes {sum(taken)} arguments, not {given}"] if -1 not in taken and given > sum(taken) else []


def _option_fault(command: Any, word: str, words: list[str]) -> str:
    """What is wrong with an option; its value is taken from the words that follow."""
    option, _, value = word.partition("=")
    known = next((p for p in command.params if option in (*p.opts, *p.secondary_opts)), None)
    if known is None:
        return "" if option == "--help" else f"has no option {option}"
    if known.is_flag or value:
        return ""
    if not words:
        return f"{option} needs a value"
    words.pop(0)
    return ""


def test_every_path_and_name_of_the_pages_exists() -> None:
    faults = []
    for name, page in zip(NAMES, PAGES, strict=True):
        for piece in pieces(page):
            if re.fullmatch(r"(uniferum|orchestration|cli|tests|configs|benchmarks|infra|docs)/[\w./+-]*", piece):
                if not (PROJECT / piece).exists():
                    faults.append(f"{name}: {piece}")
            elif re.fullmatch(r"(uniferum|orchestration|cli)(\.\w+)+", piece) and not exists(piece):
                faults.append(f"{name}: {piece}")
        faults += [
            f"{name}: ::: {target}"
            for target in re.findall(r"^::: (\S+)", page.read_text(), re.M)
            if not exists(target)
        ]
    assert not faults, "\n".join(faults)


def test_the_page_of_the_store_names_functions_of_the_preprocessing() -> None:
    text = (PROJECT / "docs/store.md").read_text(encoding="utf-8")
    table = text.split("| step | function |")[1].split("\n\n")[0]
    named = re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`", table)
    assert len(named) > 10
    assert [name for name in named if not exists(f"uniferum.preprocessing.{name}")] == []


def test_every_file_that_a_page_names_anywhere_exists() -> None:
    """Also in code blocks, tables and sentences."""
    faults = [
        f"{name}: {path}"
        for name, page in zip(NAMES, PAGES, strict=True)
        for path in re.findall(
            r"(?<![\w/.-])((?:configs|benchmarks|docs|infra|tests|uniferum|orchestration|cli)/[\w./+-]*\w)",
            page.read_text(encoding="utf-8"),
        )
        if not (PROJECT / path).exists()
    ]
    assert not faults, "\n".join(faults)


def test_every_option_that_a_page_names_alone_exists() -> None:
    """Of the command line, or of a benchmark; options of whole commands are checked with their command."""
    known = {"--help", *options_of(root_command())}
    for script in (PROJECT / "benchmarks").glob("*.py"):
        known |= set(re.findall(r"\"(--[a-z][\w-]*)\"", script.read_text(encoding="utf-8")))
    faults = [
        f"{name}: {option}"
        for name, page in zip(NAMES, PAGES, strict=True)
        for piece in pieces(page)
        for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", piece)
        if option not in known
    ]
    assert not faults, "\n".join(faults)


def options_of(command: Any) -> Iterator[str]:
    """The options of a command and of all its sub-commands."""
    for parameter in command.params:
        yield from (*parameter.opts, *parameter.secondary_opts)
    for below in getattr(command, "commands", {}).values():
        yield from options_of(below)


CONFIGS = (RunConfig, GridConfig, SearchConfig, PreparationConfig, InfraSettings)


def test_every_config_key_that_a_page_names_exists() -> None:
    """Dotted names whose first part is a section of a config, such as ``training.steps``."""
    faults = [
        f"{name}: {key}"
        for name, page in zip(NAMES, PAGES, strict=True)
        for piece in pieces(page)
        for key in re.findall(r"(?<![\w./-])([a-z_]+(?:\.[a-z_]+)+)(?![\w/(])", piece)
        if any(key.split(".")[0] in config.model_fields for config in CONFIGS)
        and not key.endswith((".yaml", ".log", ".json"))
        and not any(has_key(config, key.split(".")) for config in CONFIGS)
    ]
    assert not faults, "\n".join(faults)


def has_key(config: type[BaseModel], parts: list[str]) -> bool:
    """Whether a config has a key; the keys of a mapping are names of the user."""
    field = config.model_fields.get(parts[0])
    if field is None or len(parts) == 1:
        return field is not None
    below = list(sections(field.annotation))
    if below and "dict" in str(field.annotation):
        return len(parts) == 2 or any(has_key(section, parts[2:]) for section in below)
    return any(has_key(section, parts[1:]) for section in below) if below else "dict" in str(field.annotation)


def sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """The config sections that a type mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from sections(part)


def test_every_script_target_and_extra_of_the_pages_exists() -> None:
    targets = re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.M)
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    faults = []
    for name, page in zip(NAMES, PAGES, strict=True):
        text = "\n".join([*(block.text for block in blocks(page)), *pieces(page)])
        faults += [
            f"{name}: {path}" for path in re.findall(r"python (\w+/\S+\.py)", text) if not (PROJECT / path).exists()
        ]
        faults += [
            f"{name}: make {target}"
            for target in re.findall(r"^\s*make ([a-z-]+)", text, re.M)
            if target not in targets
        ]
        pattern = r"(?:-e|--editable) '?\.\[([\w, ]+)\]"
        wanted = [extra.strip() for names in re.findall(pattern, text) for extra in names.split(",")]
        faults += [f"{name}: extra {extra}" for extra in wanted if extra not in extras]
    assert not faults, "\n".join(faults)


def test_contributing_names_the_methods_that_a_cohort_and_a_model_have_to_have() -> None:
    text = " ".join((PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8").split())
    for name, module in (("Cohort", "uniferum/data/cohorts/base.py"), ("Model", "uniferum/model/base.py")):
        sentence = re.search(rf"derived from `{name}` with the methods (.*?)[.(]", text)
        assert sentence, name
        assert set(re.findall(r"`(\w+)`", sentence[1])) == abstract_methods(PROJECT / module, name)


def abstract_methods(module: Path, name: str) -> set[str]:
    """The abstract methods of a class, read from its source."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    (body,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    return {
        node.name
        for node in body
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(one) == "abstractmethod" for one in node.decorator_list)
    }


def exists(dotted: str) -> bool:
    """Whether a dotted name is a module of this project, or something that a module defines; nothing is imported."""
    if dotted in STORED:
        return True
    path, rest = PROJECT, dotted.split(".")
    while rest and (path / rest[0]).is_dir():
        path = path / rest.pop(0)
    if rest and (path / f"{rest[0]}.py").is_file():
        path = path / f"{rest.pop(0)}.py"
    if not rest:
        return True
    return rest[0] in defined(path if path.is_file() else path / "__init__.py")


def defined(module: Path) -> set[str]:
    """The names of a module: what it defines, imports, or offers lazily in ``__all__``."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Name(ctx=ast.Store()):
                names.add(node.id)
            case ast.ImportFrom() | ast.Import():
                names |= {alias.asname or alias.name for alias in node.names}
    return names


@pytest.mark.parametrize("name", [*NAMES, "CHANGELOG.md"])
def test_lines_of_a_page_wrap(name: str) -> None:
    """Tables, code, headings and lines that hold one long word may be longer."""
    text = re.sub(r"^( *)```.*\n(?:.*\n)*?\1```$", "", (PROJECT / name).read_text(encoding="utf-8"), flags=re.M)
    long = [
        line
        for line in text.splitlines()
        if len(line) > WIDTH
        and not line.startswith(("|", "#", "    ", "<", "[!"))
        and len(max(line.split(), key=len)) < WIDTH - 10
    ]
    assert not long, "\n".join(long)


def test_internal_links_of_the_front_pages_lead_somewhere() -> None:
    """Links between pages below docs/ are checked when the documentation is built."""
    for name in ("README.md", "CONTRIBUTING.md"):
        text = (PROJECT / name).read_text(encoding="utf-8")
        links = re.findall(r"\]\((?!https?:)([^)#\s]+)[^)]*\)|src=\"(?!https?:)([^\"]+)\"", text)
        assert [link for match in links for link in match if link and not (PROJECT / link).exists()] == []


JOINTS = re.compile(r"\.\.\.|[;:()\[\]]|, |\bmust\b|\bfailed with\b|\d+ x ")
"""Where a message is put together from parts, or where a page leaves something out."""

CHECKED_WORDS = 3
"""A part of a quoted message of fewer words is not looked for: it is mostly a name or a number."""

COMPOSED = {"holds train and valid", "TypeError at uniferum.preprocessing.formats.nifti line 88"}
"""Parts of quoted messages that the source puts together from texts of one or two words."""


def test_the_datasets_page_quotes_the_messages_of_the_program() -> None:
    messages = quoted_messages((PROJECT / "docs/datasets.md").read_text(encoding="utf-8"))
    assert len(messages) > 90
    faults = [f"{message}: not in the source: {part}" for message in messages for part in unknown_parts(message)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        ("damaged: it cannot be decompressed", []),
        ("damaged: its bytes do not decode", ["its bytes do not decode"]),
        ("cohort X must hold at least one scan; looked for ...", []),  # two words are too few to look for
        ("must leave some voxels out", ["leave some voxels out"]),
        ("split (valid) must be a known split", []),
        ("4 of 12 training scans are left out, flagged wrong_hu", []),
        ("4 of 12 training scans are omitted", ["4 of 12 training scans are omitted"]),
    ],
)
def test_a_quoted_message_that_the_program_does_not_have_is_reported(message: str, parts: list[str]) -> None:
    assert unknown_parts(message) == parts


def quoted_messages(text: str) -> list[str]:
    """The messages that the tables of messages quote: in double quotes, or as code in the last column."""
    messages, is_message_table = [], False
    for line in text.splitlines():
        if not line.startswith("|"):
            is_message_table = False
        elif line.endswith("| flag or message |"):
            is_message_table = True
        elif is_message_table:
            last = re.split(r"(?<!\\)\|", line)[-2]
            messages += [*re.findall(r'"([^"]+)"', line), *re.findall(r"`([^`]+)`", re.sub(r'"[^"]+"', "", last))]
    return [message for message in messages if " " in message]


def unknown_parts(message: str) -> list[str]:
    """The parts of a message that no text of the source has."""
    parts = [part.strip() for part in JOINTS.split(message)]
    long = [part for part in parts if len(words_of(part)) >= CHECKED_WORDS and part not in COMPOSED]
    return [part for part in long if not is_in_source(words_of(part))]


def words_of(text: str) -> list[str]:
    """The words of a text without the punctuation around them."""
    return [word for word in (word.strip("`'\".,;:()[]") for word in text.split()) if word]


def is_in_source(words: list[str]) -> bool:
    """Whether a text of the source has these words in a row, or they contain a whole text of the source.

    Its placeholders stand for one to six words each, but at least half of the words, and two, have to be its own.
    """
    enough = max(2, (len(words) + 1) // 2)
    for text, own in source_texts():
        if sum(word in own for word in words) < enough:
            continue
        if any(fits(words, text[at:], enough) for at in range(len(text))):
            return True
        if len(text) >= max(enough, 3) and any(words[at : at + len(text)] == text for at in range(len(words))):
            return True
    return False


def fits(words: list[str], text: list[str], enough: int) -> bool:
    """Whether words are the beginning of a text, ``enough`` of them by the text's own words."""
    if not words or not text:
        return not words and enough <= 0
    if PLACEHOLDER not in text[0]:
        return words[0] == text[0] and fits(words[1:], text[1:], enough - 1)
    return any(fits(words[count:], text[1:], enough) for count in range(1, min(6, len(words)) + 1))


PLACEHOLDER = "\0"


@cache
def source_texts() -> list[tuple[list[str], set[str]]]:
    """The words of every text of the source, docstrings apart, and the same as a set."""
    texts = set()
    for package in ("uniferum", "orchestration", "cli"):
        for path in (PROJECT / package).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            texts |= {template(node) for node in ast.walk(tree) if id(node) not in docstrings}
    return [(words, set(words)) for words in map(words_of, texts) if len(words) > 1]


def template(node: ast.AST) -> str:
    """A text literal, with a mark for each placeholder; empty for any other node."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(template(value) or PLACEHOLDER for value in values)
    return ""


ROOMS = [
    init.parent.relative_to(PROJECT)
    for package in ("uniferum", "orchestration", "cli")
    for init in sorted((PROJECT / package).rglob("__init__.py"))
]


@pytest.mark.parametrize("room", ROOMS, ids=str)
def test_the_docstring_of_a_room_lists_its_files(room: Path) -> None:
    docstring = ast.get_docstring(ast.parse((PROJECT / room / "__init__.py").read_text(encoding="utf-8"))) or ""
    files = docstring.split("**Processes**")[0]  # orchestration: files of a cell's folder follow
    listed = re.findall(r"^    (\w+)(?:\.py|/)? {2,}\S", files, re.M)
    modules = {path.stem for path in (PROJECT / room).glob("*.py")} - {"__init__"}
    assert sorted(listed) == sorted(modules | {path.parent.name for path in (PROJECT / room).glob("*/__init__.py")})


def test_a_room_offers_only_names_that_others_import_from_it() -> None:
    imported = {
        (node.module, alias.name)
        for path in [*PROJECT.glob("*/**/*.py")]
        if not path.is_relative_to(PROJECT / ".venv")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    unused = [
        f"{dotted}: {name}"
        for room in ROOMS[1:]  # the first is uniferum, whose names are for users
        for dotted in [".".join(room.parts)]
        for name in exported(PROJECT / room / "__init__.py")
        if (dotted, name) not in imported
    ]
    assert not unused, "\n".join(unused)


def exported(module: Path) -> list[str]:
    """The names in ``__all__`` of a module."""
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return []


def test_the_tree_of_the_readme_is_that_of_the_repository() -> None:
    section = (PROJECT / "README.md").read_text(encoding="utf-8").split("## Where things are")[1].split("\n## ")[0]
    tree, top = set(), Path()
    for line in re.findall(r"^ {4,6}\S.*$", section, re.M):
        names = re.split(r" {2,}", line.strip())[0].split()
        if line.startswith("      "):
            tree |= {top / name for name in names}
        else:
            top = Path(names[0])
            tree.add(top)
    assert [str(path) for path in tree if not (PROJECT / path).exists()] == []
    library = {path.relative_to(PROJECT) for path in (PROJECT / "uniferum").iterdir() if not path.name.startswith("__")}
    assert library <= tree
    folders = {path.parts[0] for path in tree}
    assert folders == {path.name for path in PROJECT.iterdir() if path.is_dir() and is_part(path)}


@pytest.mark.parametrize("package", ["uniferum", "orchestration"])
def test_the_page_of_the_architecture_has_every_room(package: str) -> None:
    page = (PROJECT / "docs/explanation/architecture.md").read_text(encoding="utf-8")
    section = page.split(f"## Rooms of `{package}/`")[1].split("\n## ")[0]
    named = set(re.findall(r"`(\w+/|\w+\.py)`", "\n".join(re.findall(r"^\|([^|]*)\|", section, re.M))))
    paths = [path for path in (PROJECT / package).iterdir() if not path.name.startswith("__")]
    assert named == {f"{path.name}/" if path.is_dir() else path.name for path in paths}


def is_part(folder: Path) -> bool:
    """Whether a folder of the checkout belongs to the repository."""
    ignored = (PROJECT / ".gitignore").read_text(encoding="utf-8").splitlines()
    return not any(fnmatch(folder.name, pattern.strip("/")) for pattern in [*ignored, ".*", "shared"])
