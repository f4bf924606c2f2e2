"""Config sections: faults are worded, overrides apply, fingerprints depend on meaning only."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uniferum.config import (
    Section,
    canonical_json,
    canonical_mapping,
    fingerprint,
    load,
    load_yaml,
    merge,
    override,
    parse,
    text_fingerprint,
)
from uniferum.errors import UniferumError


class Optimizer(Section):
    rate: float = 0.1
    warmup_steps: int = 25


class Settings(Section):
    name: str
    optimizer: Optimizer = Optimizer()
    extras: tuple[Optimizer, ...] = ()


def test_an_unknown_key_is_refused_and_the_near_miss_suggested(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("name: x\noptimizer: {warmup_step: 3}\n")
    with pytest.raises(UniferumError) as caught:
        load(Settings, path)
    assert "a.yaml: optimizer.warmup_step must be a known key" in str(caught.value)
    assert "did you mean 'warmup_steps'?" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_key_inside_a_list_is_refused_with_the_keys_allowed_there() -> None:
    with pytest.raises(UniferumError, match=r"extras\.0\.rat must be a known key; did you mean 'rate'"):
        parse(Settings, {"name": "x", "extras": [{"rat": 1}]}, source="given")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- 1\n- 2\n", "must hold a YAML mapping"),
        ("name: [\n", "must be valid YAML"),
        ("optimizer: {rate: 1}\n", "name must be given"),
        ("name: x\noptimizer: {rate: fast}\n", "optimizer.rate (fast) must be a valid number"),
        ("name: !!python/object/apply:os.system ['true']\n", "must be valid YAML"),
    ],
)
def test_bad_files_end_in_one_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UniferumError) as caught:
        load(Settings, path)
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UniferumError, match=r"absent\.yaml must exist"):
        load(Settings, tmp_path / "absent.yaml")


def test_overrides_replace_nested_values_and_leave_the_original_alone() -> None:
    base = {"optimizer": {"rate": 1}}
    assert override(base, ["optimizer.rate=0.5", "name=x"]) == {"optimizer": {"rate": 0.5}, "name": "x"}
    assert base == {"optimizer": {"rate": 1}}


@pytest.mark.parametrize("setting", ["rate", "=3", "name.deeper=1"])
def test_an_override_that_names_nothing_is_refused(setting: str) -> None:
    with pytest.raises(UniferumError, match=r"--set"):
        override({"name": "x"}, [setting])


def test_sections_are_frozen_and_changed_by_a_validated_copy() -> None:
    settings = Settings(name="x")
    with pytest.raises(ValueError, match="frozen"):
        settings.name = "y"  # pyright: ignore[reportAttributeAccessIssue]
    assert settings.replace(name="y").name == "y"
    with pytest.raises(ValueError, match="nome"):
        settings.replace(nome="y")


def test_merge_goes_into_mappings_and_replaces_everything_else() -> None:
    assert merge({"a": {"b": 1, "c": [1]}}, {"a": {"c": [2]}, "d": 3}) == {"a": {"b": 1, "c": [2]}, "d": 3}


@given(st.dictionaries(st.text(), st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()))
def test_the_fingerprint_does_not_depend_on_the_order_of_keys(data: dict[str, object]) -> None:
    assert fingerprint(data) == fingerprint(dict(reversed(data.items())))


def test_the_fingerprint_tells_values_apart_and_treats_equal_numbers_as_equal() -> None:
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    assert fingerprint({"a": 1}) == fingerprint({"a": 1.0})
    assert fingerprint({"a": (1, 2)}) == fingerprint({"a": [1, 2]})


@pytest.mark.parametrize("value", [Path("a"), {1, 2}, float("nan"), lambda: None])
def test_values_without_a_stable_form_are_refused(value: object) -> None:
    with pytest.raises(TypeError, match="no stable form"):
        canonical_json({"a": value})


def test_the_fingerprint_of_a_fixed_value_is_what_finished_grids_recorded() -> None:
    value = {"z": [1.0, 2.5, -0.0, 1e300], "a": {"é": None, "b": True}, "s": Settings(name="x"), "t": (1, "q")}
    text = (
        '{"a":{"b":true,"\\u00e9":null},"s":{"extras":[],"name":"x","optimizer":{"rate":0.1,"warmup_steps":25}},'
        '"t":[1,"q"],"z":[1,2.5,0,1e+300]}'
    )
    assert canonical_json(value) == text
    assert fingerprint(value) == text_fingerprint(text) == "74f01972d76d2753"


@given(st.dictionaries(st.text(), st.one_of(st.integers(), st.text(), st.booleans(), st.none())))
def test_a_mapping_of_texts_worded_before_is_worded_as_the_whole(data: dict[str, object]) -> None:
    assert canonical_mapping({key: canonical_json(value) for key, value in data.items()}) == canonical_json(data)


@pytest.mark.parametrize(
    ("text", "key", "first", "second"),
    [
        ("a: 1\nb: 2\na: 3\n", "a", 1, 3),
        ("a: {b: 1,\n    'b': 2}\n", "b", 1, 2),
        ("- 1\n- a: 1\n  b: 2\n  a: 3\n", "a", 2, 4),
        ("x: &x\n  a: 1\n  a: 2\ny: *x\n", "a", 2, 3),
    ],
)
def test_a_key_given_twice_is_refused_with_both_lines(
    tmp_path: Path, text: str, key: str, first: int, second: int
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(UniferumError, match=rf"a\.yaml: {key} must .* lines {first} and {second}; remove one"):
        load_yaml(path)


def test_keys_of_merged_and_repeated_sections_are_no_repetition(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("x: &x {a: 1, b: 2}\ny: &y\n  <<: *x\n  a: 3\nz: {<<: *y, b: 4}\nw: [*x, *x]\n")
    loaded = load_yaml(path)
    assert loaded["z"] == {"a": 3, "b": 4}
    assert loaded["w"] == [{"a": 1, "b": 2}] * 2


@pytest.mark.parametrize(("setting", "words"), [("a={b: 1, b: 2}", "--set a: b must"), ("a={", "valid YAML")])
def test_a_wrong_value_of_an_override_is_one_line(setting: str, words: str) -> None:
    with pytest.raises(UniferumError, match=words):
        override({}, [setting])
