"""Settings of the MLflow client: no retries, 30 s time-out, quiet.

By default the client repeats a request for four minutes. Here the spool stays on disk and is sent again later, so a
client that gives up at once loses nothing.
"""

import logging
import os
import re

SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def configure_client() -> None:
    """Apply the settings to this process, before its first request; variables that the user has set stay."""
    for key, value in SETTINGS.items():
        os.environ.setdefault(key, value)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def is_away(error: BaseException) -> bool:
    """Whether a request failed because no server answered, not because a server rejected it."""
    from requests import exceptions

    kinds = (ConnectionError, TimeoutError, exceptions.ConnectionError, exceptions.Timeout)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, kinds):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def is_refusal(error: BaseException) -> bool:
    """Whether the server rejected the content of a request, so that sending it again is useless."""
    code = getattr(error, "error_code", None)
    return code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")


def valid_name(name: str) -> str:
    """Replace characters that MLflow does not allow in names by ``_``; allowed: letters, digits, ``_-./:``, space."""
    return re.sub(r"[^\w\-./: ]", "_", name)
