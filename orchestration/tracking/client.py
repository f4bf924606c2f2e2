"""How MLflow's client behaves in a driver: silent, soon done with a server that is away, and plain about which it was.

By itself a client tries a request eight times, four minutes in all. Here a spool waits on disk and is sent again, so a
client that gives up at once loses nothing.
"""

import logging
import os
import re

MANNERS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def set_manners() -> None:
    """For this process, before its first request; what the user has set stays."""
    for key, value in MANNERS.items():
        os.environ.setdefault(key, value)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def is_away(error: BaseException) -> bool:
    """Whether a request failed because no server answered, rather than because one refused it."""
    from requests import exceptions

    kinds = (ConnectionError, TimeoutError, exceptions.ConnectionError, exceptions.Timeout)
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, kinds):
            return True
        found = found.__cause__ or found.__context__
    return False


def is_refusal(error: BaseException) -> bool:
    """Whether the server answered that it will not take this, however often it is sent."""
    code = getattr(error, "error_code", None)
    return code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")


def plain(name: str) -> str:
    """A name in MLflow's alphabet: letters, digits, and ``_ - . / : `` and space; anything else becomes ``_``."""
    return re.sub(r"[^\w\-./: ]", "_", name)
