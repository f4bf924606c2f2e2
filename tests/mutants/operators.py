"""Find the small faults that fit into a module, each as a change of its text."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "/",
    ast.Mod: "*",
    ast.Pow: "*",
    ast.LShift: ">>",
    ast.BitAnd: "|",
    ast.BitOr: "&",
}
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True)
class Mutant:
    """One change: the text of the module between two offsets is replaced."""

    module: str
    scope: str
    """Class and function, as dotted names; empty at the top of the module."""
    line: int
    start: int
    end: int
    before: str
    after: str
    nth: int = 0
    """Which of the changes with the same place and texts, in the order of the file."""

    @property
    def key(self) -> str:
        """The same after edits elsewhere in the file, so that a table of survivors stays valid."""
        number = f" #{self.nth + 1}" if self.nth else ""
        return f"{self.module}:{self.scope}: {self.before} -> {self.after}{number}"

    def applied(self, source: str) -> str:
        """The module's text with this change."""
        return source[: self.start] + self.after + source[self.end :]


def mutants_of(module: str, source: str) -> list[Mutant]:
    """Every mutant of a module that differs from it and compiles, in the order of the file."""
    seen: dict[tuple[str, str, str], int] = {}
    mutants: list[Mutant] = []
    for scope, start, end, after in sorted(_Finder(source).all()):
        before = source[start:end]
        same = (scope, before, after)
        nth = seen[same] = seen.get(same, -1) + 1
        mutant = Mutant(module, scope, source.count("\n", 0, start) + 1, start, end, before, after, nth)
        if before != after and _compiles(mutant.applied(source)):
            mutants.append(mutant)
    return sorted(mutants, key=lambda mutant: (mutant.start, mutant.end, mutant.after))


def _compiles(source: str) -> bool:
    try:
        compile(source, "mutant", "exec")
    except SyntaxError:
        return False
    return True


class _Finder:
    """Walks a module's syntax tree; what it leaves out is named in `_skipped`."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.tree = ast.parse(source)
        lines = source.splitlines(keepends=True)
        self.begins = [0]
        for line in lines:
            self.begins.append(self.begins[-1] + len(line))
        self.lines = lines

    def all(self) -> Iterator[tuple[str, int, int, str]]:
        """Place, start, end and new text of every change."""
        yield from self._walk(self.tree, "")

    def _walk(self, node: ast.AST, scope: str) -> Iterator[tuple[str, int, int, str]]:
        for child in self._children(node):
            inside = scope
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                inside = f"{scope}.{child.name}".lstrip(".")
            for start, end, after in self._changes(child):
                yield inside, start, end, after
            yield from self._walk(child, inside)

    def _children(self, node: ast.AST) -> Iterator[ast.AST]:
        """All but annotations, decorators, docstrings, imports and the texts of messages, which no test repeats."""
        skipped: set[int] = set()
        for name in ("annotation", "returns", "decorator_list", "bases", "type_params"):
            part = getattr(node, name, None)
            skipped.update(id(item) for item in (part if isinstance(part, list) else [part]))
        for child in ast.iter_child_nodes(node):
            if id(child) in skipped or isinstance(child, ast.Import | ast.ImportFrom | ast.JoinedStr | ast.Raise):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue
            yield child

    def _changes(self, node: ast.AST) -> Iterator[tuple[int, int, str]]:
        if isinstance(node, ast.expr):
            yield from self._of_expression(node)
        elif isinstance(node, ast.stmt):
            yield from self._of_statement(node)

    def _of_statement(self, node: ast.stmt) -> Iterator[tuple[int, int, str]]:
        start, end = self._span(node)
        if _may_be_left_out(node):
            yield start, end, "pass"
        elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
            yield start, end, "return None"
        elif isinstance(node, ast.If | ast.While) and not _has_an_opposite(node.test):
            yield (*self._span(node.test), f"not ({self._text(node.test)})")

    def _of_expression(self, node: ast.expr) -> Iterator[tuple[int, int, str]]:
        yield from self._of_operator(node)
        if isinstance(node, ast.IfExp) and not _has_an_opposite(node.test):
            yield (*self._span(node.test), f"(not ({self._text(node.test)}))")
        elif isinstance(node, ast.Constant):
            yield from self._of_constant(node)
        elif isinstance(node, ast.Call):
            yield from self._of_call(node)
        elif isinstance(node, ast.Set) or (isinstance(node, ast.Tuple | ast.List) and isinstance(node.ctx, ast.Load)):
            yield from self._without_an_element(node)

    def _of_operator(self, node: ast.expr) -> Iterator[tuple[int, int, str]]:
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            yield self._between(node.left, node.comparators[0], COMPARISONS[type(node.ops[0])])
        elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
            yield self._between(node.left, node.right, ARITHMETIC[type(node.op)])
        elif isinstance(node, ast.BoolOp):
            other = "or" if isinstance(node.op, ast.And) else "and"
            for left, right in pairwise(node.values):
                yield self._between(left, right, other)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.Invert):
            yield (*self._span(node), f"({self._text(node.operand)})")

    def _of_constant(self, node: ast.Constant) -> Iterator[tuple[int, int, str]]:
        start, end = self._span(node)
        if isinstance(node.value, bool):
            yield start, end, str(not node.value)
        elif isinstance(node.value, int | float):
            yield start, end, repr(node.value + 1)
        elif isinstance(node.value, str) and self._text(node)[:1] in "\"'":
            yield start, end, repr(f"XX{node.value}")

    def _of_call(self, node: ast.Call) -> Iterator[tuple[int, int, str]]:
        if isinstance(node.func, ast.Name) and node.func.id in CALLS:
            yield (*self._span(node.func), CALLS[node.func.id])
        for keyword in node.keywords:
            start, end = self._span(keyword)
            if keyword.arg in ("default", "ddof", "kind", "axis", "replace", "keepdims", "out", "where"):
                before = self.source.rindex(",", 0, start) if "," in self.source[:start] else start
                if not self.source[before + 1 : start].strip():
                    yield before, end, ""

    def _without_an_element(self, node: ast.Set | ast.Tuple | ast.List) -> Iterator[tuple[int, int, str]]:
        """Only of long ones: a pair or a triple without an element fails at its first use."""
        if len(node.elts) < 4:
            return
        for element in node.elts:
            start, end = self._span(element)
            after = self.source[end:]
            comma = len(after) - len(after.lstrip()) if after.lstrip()[:1] == "," else -1
            yield start, end + comma + 1, ""

    def _between(self, left: ast.expr, right: ast.expr, operator: str) -> tuple[int, int, str]:
        """Replace what stands between two operands, whose own brackets stay."""
        start, end = self._span(left)[1], self._span(right)[0]
        gap = self.source[start:end]
        closing, opening = gap[: len(gap) - len(gap.lstrip(") \n"))], gap[len(gap.rstrip("( \n")) :]
        return start + len(closing), end - len(opening), operator

    def _span(self, node: ast.expr | ast.stmt | ast.keyword) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._offset(node.lineno, node.col_offset), self._offset(node.end_lineno, node.end_col_offset)

    def _offset(self, line: int, column: int) -> int:
        """Python counts columns in bytes of UTF-8."""
        return self.begins[line - 1] + len(self.lines[line - 1].encode()[:column].decode())

    def _text(self, node: ast.expr) -> str:
        return self.source[slice(*self._span(node))]


def _may_be_left_out(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Yield | ast.YieldFrom)
    if isinstance(node, ast.Assign):
        return isinstance(node.targets[0], ast.Attribute | ast.Subscript)
    return isinstance(node, ast.AugAssign)


def _has_an_opposite(node: ast.expr) -> bool:
    """Whether another change of the same condition negates it already."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        return not isinstance(node.ops[0], ast.Lt | ast.LtE | ast.Gt | ast.GtE)
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
