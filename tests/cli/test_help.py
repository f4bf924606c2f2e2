"""The help of every command: examples that can be typed, grouped options, and commands that stay short."""

import ast
import inspect
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from cli.main import app

ROOT: Any = typer.main.get_command(app)


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each group and command with the words that name it."""
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from walk(child, (*path, name))


COMMANDS = {" ".join(path): command for path, command in walk(ROOT)}
LEAVES = {path: command for path, command in COMMANDS.items() if not hasattr(command, "commands")}


def examples_of(command: Any) -> list[list[str]]:
    """The words of each example, without redirection, pipe and remark."""
    lines = re.findall(r"^ {4}uniferum (.*)$", command.epilog or "", re.MULTILINE)
    return [shlex.split(re.split(r" [>|] ", line)[0], comments=True) for line in lines]


def help_of(*words: str) -> str:
    shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "100"})
    assert shown.exit_code == 0
    return shown.stdout


@pytest.mark.parametrize("path", COMMANDS)
def test_every_help_has_an_example_that_the_command_line_accepts(path: str) -> None:
    examples = examples_of(COMMANDS[path])
    assert examples, f"uniferum {path} --help shows no example"
    for words in examples:
        command, rest, context = ROOT, words, None
        while hasattr(command, "commands"):
            assert not rest or rest[0] in command.commands, words
            command, rest = command.commands[rest[0]], rest[1:]
        context = command.make_context(words[0], list(rest))  # raises where a flag or an argument does not exist
        assert context.command is command
        if path in LEAVES:
            assert command is COMMANDS[path], f"an example of {path} shows another command: {words}"


def test_the_help_shows_the_examples() -> None:
    assert "uniferum grid plan configs/paper_grid.yaml" in help_of("grid", "plan")


def panels(*words: str) -> dict[str, str]:
    """Headings of a help, each with its text."""
    parts = re.split(r"╭─ (.+?) ─+╮", help_of(*words))[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_the_verbs_of_grid_are_grouped() -> None:
    shown = panels("grid")
    verbs = {head: re.findall(r"^│ (\w+) ", text, re.MULTILINE) for head, text in shown.items() if head != "Options"}
    assert list(verbs) == ["Run", "Watch", "Control a running grid", "On a cluster"]
    assert sorted(verb for group in verbs.values() for verb in group) == sorted(COMMANDS["grid"].commands)


def test_the_options_of_report_are_grouped() -> None:
    shown, more = panels("report"), ["Figures", "Page", "Cells and data"]
    assert list(shown) == ["Options", "Tables", "Tables of reporting guidelines", "Judge the numbers", *more]
    assert re.findall(r"--[a-z-]+", shown["Options"]) == ["--help"]


@pytest.mark.parametrize("path", LEAVES)
def test_a_command_has_at_most_15_lines(path: str) -> None:
    function = inspect.unwrap(LEAVES[path].callback)
    (made,) = ast.parse(inspect.getsource(function)).body
    assert isinstance(made, ast.FunctionDef)
    body = made.body[1:] if ast.get_docstring(made) else made.body
    assert (body[-1].end_lineno or 0) - body[0].lineno < 15
