"""Commands that an error or a plan tells a person to type, with the words of a store filled in and quoted."""

import shlex
from collections.abc import Mapping
from typing import Any


def cohort_args(card: Mapping[str, Any], file: str) -> str:
    """The cohort's file, and ``--root`` where the store says where its dataset lies.

    Args:
        card: what a store says of its cohort; empty where there is no store yet.
        file: the cohort's file where the card names none.
    """
    root = f" --root {shlex.quote(str(card['root']))}" if card.get("root") else ""
    return f"{shlex.quote(str(card.get('config') or file))}{root}"


def prepare_command(cohort: str, store: object) -> str:
    """``uniferum data prepare ... --out ...`` for what :func:`cohort_args` gives."""
    return f"uniferum data prepare {cohort} --out {shlex.quote(str(store))}"
