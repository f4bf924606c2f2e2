"""Mutants: what is changed, what is left alone, and that each has a key of its own."""

from tests.mutants.operators import mutants_of
from tests.mutants.run import TARGETS, draw, load_reasons, source_of

SOURCE = '''"""A module."""

KINDS = {"a", "b", "c", "d"}


def least(values: list[int], limit: int = 3) -> int | None:
    """The least value."""
    if not values or len(values) < limit:
        raise ValueError(f"fewer than {limit}")
    values.sort()
    return -values[0]
'''


def test_every_kind_of_fault_is_put_where_it_fits_and_none_into_texts_for_people() -> None:
    changes = {(mutant.scope, mutant.before, mutant.after) for mutant in mutants_of("m", SOURCE)}
    assert changes == {
        *{("", f'"{word}"', f"'XX{word}'") for word in "abcd"},
        *{("", f'"{word}",', "") for word in "abc"},
        ("", '"d"', ""),
        ("least", "3", "4"),
        ("least", "not values or len(values) < limit", "not (not values or len(values) < limit)"),
        ("least", "not values", "(values)"),
        ("least", "or", "and"),
        ("least", "<", "<="),
        ("least", "values.sort()", "pass"),
        ("least", "return -values[0]", "return None"),
        ("least", "-values[0]", "(values[0])"),
        ("least", "0", "1"),
    }


def test_a_mutant_differs_from_its_module_in_its_own_place_alone() -> None:
    for mutant in mutants_of("m", SOURCE):
        changed = mutant.applied(SOURCE)
        assert changed != SOURCE
        assert changed[: mutant.start] == SOURCE[: mutant.start]
        assert changed.endswith(SOURCE[mutant.end :])


def test_keys_are_unique_a_draw_repeats_and_every_reason_is_of_a_mutant_that_exists() -> None:
    keys = [mutant.key for module in TARGETS for mutant in mutants_of(module, source_of(module))]
    assert len(set(keys)) == len(keys)
    assert draw(20, 1) == draw(20, 1) != draw(20, 2)
    assert set(load_reasons()) <= set(keys)
