"""Merge sentences that apply to several cells of a table."""

from collections.abc import Iterable


def shared_lines(facts: Iterable[tuple[str, str]], whole: int) -> list[str]:
    """Print each fact once; if it does not apply to all cells, with their number and the first name.

    Args:
        facts: pairs of a fact (without a full stop) and the name of a cell to which it applies.
        whole: number of all cells.
    """
    named: dict[str, list[str]] = {}
    for fact, name in facts:
        named.setdefault(fact, []).append(name)
    return [
        f"{fact}." if len(names) == whole else f"{fact} ({len(names)} of {whole} cells, e.g. {names[0]})."
        for fact, names in named.items()
    ]
