"""Facts that several cells of a table share, as sentences: each once, with the cells that it holds for."""

from collections.abc import Iterable


def shared_lines(facts: Iterable[tuple[str, str]], whole: int) -> list[str]:
    """Each fact as a sentence, in the order of its first cell; one that does not hold for all says how many and which.

    Args:
        facts: a fact without its full stop, and the name of a cell that it holds for.
        whole: how many cells there are.
    """
    named: dict[str, list[str]] = {}
    for fact, name in facts:
        named.setdefault(fact, []).append(name)
    return [
        f"{fact}." if len(names) == whole else f"{fact} ({len(names)} of {whole} cells, e.g. {names[0]})."
        for fact, names in named.items()
    ]
