"""Check types and shapes at run time: jaxtyping and beartype around every function of the packages that write them.

Left out are the functions that numba compiles: it cannot compile the check around them, so it is given the function
itself. Processes that a test starts (Ray's workers, commands in a shell) do not load this module and check nothing.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, Self

import numba
from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

# `run`, `report`, `orchestration` and `cli` pass records and paths, not arrays.
CHECKED = tuple(f"uniferum.{name}" for name in ("preprocessing", "data", "model", "evaluation", "training"))

# As type checkers read it: an int may stand where a float is written (PEP 484).
_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))


def install() -> None:
    """Check every module of these packages that is imported from now on."""
    numba.njit = _without_checks(numba.njit)
    install_import_hook(CHECKED, f"{__name__}.check")


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """beartype, made at a function's first call: for all functions of a session it takes as long as their import.

    `Self` is left out: beartype knows it in decorated classes only, and the hook decorates functions.
    """
    function.__annotations__ = {name: hint for name, hint in function.__annotations__.items() if hint is not Self}
    made = functools.cache(lambda: _beartype(function))

    @functools.wraps(function)
    def checked(*args: Any, **keywords: Any) -> Any:
        return made()(*args, **keywords)

    return checked


def _without_checks(njit: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(njit)
    def decorator(*args: Any, **options: Any) -> Callable[..., Any]:
        compiler = njit(*args, **options)
        return lambda function: compiler(inspect.unwrap(function))

    return decorator
