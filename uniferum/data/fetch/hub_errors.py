"""Convert the hub client's errors to one line with a remedy: terms to accept, login, connection."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from uniferum.data.fetch.sources import HubSource
from uniferum.errors import StateError, UniferumError

REPEAT = "Repeat the command to continue."


class Ends(StateError):
    """Error that stops the whole fetch, because it affects every further file."""


class NoAccess(Ends):
    """The hub has the dataset, but the user has no access to it yet."""


@contextmanager
def worded(source: HubSource) -> Iterator[None]:
    """Convert errors of the hub's client to errors of one line; a requested stop is passed on."""
    import httpx2

    try:
        yield
    except InterruptedError:
        raise
    except (OSError, httpx2.HTTPError) as error:  # the client's errors are OSErrors, those of its transport are not
        raise _converted(source, error) from None
    except ValueError as error:
        if isinstance(error, UniferumError):
            raise
        cure = "Check HF_ENDPOINT, or the login of a proxy."
        raise Ends(
            f"The hub did not answer in JSON for {source.repo}, it sent another kind of page", cure=cure
        ) from None


def one_line(error: BaseException) -> str:
    """Text of an error without line breaks."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _converted(source: HubSource, error: Exception) -> UniferumError:
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return Ends("HF_HUB_OFFLINE is set, so nothing can be fetched", cure="Unset it.")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Ends(f"The disk of --out is full ({error.strerror})", cure=f"Free some space. {REPEAT}")
    answered = error if isinstance(error, HfHubHTTPError) else error.__cause__
    if isinstance(answered, HfHubHTTPError):
        return _status_error(source, answered.response.status_code, answered)
    cure = f"Check the connection, a proxy, or HF_ENDPOINT. {REPEAT}"
    return StateError(f"No connection to the hub for {source.repo} ({one_line(error).rstrip('.')})", cure=cure)


def _status_error(source: HubSource, code: int, error: Exception) -> UniferumError:
    if code in (401, 403):
        cure = (
            f"Accept the terms at {source.page} (signed in; some owners answer by e-mail), then log in here: "
            "hf auth login, or set HF_TOKEN to a read token of the same account."
        )
        return NoAccess(f"You have no access to the dataset {source.repo} (the hub answered {code})", cure=cure)
    match = re.search(r"/resolve/[^/]+/([^\s?]+)", str(error))
    subject = f"{source.repo}: {match.group(1).rstrip('.')}" if match else source.repo
    if code == 429 or code >= 500:
        cure = "The server has a fault: repeat the command later to continue."
        return StateError(f"{subject} cannot be downloaded now (the hub answered {code})", cure=cure)
    return StateError(f"{subject} does not exist (the hub answered {code})", cure=f"See {source.page}")
