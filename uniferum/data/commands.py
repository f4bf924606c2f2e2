"""Commands that an error or a plan suggests, with quoted paths of a store."""

import shlex
from collections.abc import Mapping
from typing import Any


def cohort_args(card: Mapping[str, Any], file: str) -> str:
    """The cohort's file, and ``--root`` if the store knows its dataset's folder.

    Args:
        card: the store's description of its cohort; empty if there is no store yet.
        file: the cohort's file if the card has none.
    """
    root = f" --root {shlex.quote(str(card['root']))}" if card.get("root") else ""
    return f"{shlex.quote(str(card.get('config') or file))}{root}"


def prepare_command(cohort: str, store: object) -> str:
    """Command ``uniferum data prepare ... --out ...`` for the result of :func:`cohort_args`."""
    return f"uniferum data prepare {cohort} --out {shlex.quote(str(store))}"
