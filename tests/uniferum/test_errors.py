"""Errors name the subject, the value, the condition and the cure, in one line, also after a trip between processes."""

import pickle

import pytest

from uniferum.errors import OtherHardware, StateError, UniferumError, near_miss


def test_the_message_reads_as_a_sentence() -> None:
    error = UniferumError("a.yaml: steps", 0, must="be at least 1", cure="give the number of optimizer steps")
    assert str(error) == "a.yaml: steps (0) must be at least 1; give the number of optimizer steps"


def test_a_long_value_is_cut_and_line_breaks_are_removed() -> None:
    text = str(UniferumError("x", "a\nb" * 100, must="be short"))
    assert "\n" not in text
    assert len(text) < 160


def test_an_error_survives_pickling() -> None:
    error = UniferumError("x", 3, must="be 4", cure="write 4")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301


def test_the_nearest_name_is_suggested_and_few_names_are_listed() -> None:
    assert near_miss("CTRAT", ["CTRATE", "INSPECT"]) == "did you mean 'CTRATE'? (allowed: CTRATE, INSPECT)"
    assert near_miss("zzz", ["a", "b"]) == "allowed: a, b"


@pytest.mark.parametrize(
    "address", ["https://me:sesame@host/x", "postgresql://:a:s/e@sesame@host", "a://b?password=sesame"]
)
def test_the_password_of_an_address_is_never_shown(address: str) -> None:
    text = str(UniferumError(f"x: {address}", address + "/long" * 30, must="be right", cure=f"not {address}"))
    assert "sesame" not in text
    assert text.count("***") == 3


def test_a_state_is_a_statement_with_its_remedy_and_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(StateError("No free port on 127.0.0.1", cure="Stop another server.")))  # noqa: S301 - our own bytes
    assert str(error) == "No free port on 127.0.0.1. Stop another server."


def test_a_kind_of_state_stays_that_kind_when_it_is_pickled() -> None:
    error = pickle.loads(pickle.dumps(OtherHardware("It has bf16", cure="Use a GPU.")))  # noqa: S301 - our own bytes
    assert isinstance(error, OtherHardware)
    assert str(error) == "It has bf16. Use a GPU."
