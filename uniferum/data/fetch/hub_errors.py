"""The hub client's errors, each worded in one line: where to accept terms, how to log in, what to check."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from uniferum.data.fetch.sources import HubSource
from uniferum.errors import UniferumError


class Ends(UniferumError):
    """Ends the whole fetch, since every further file would meet the same."""


class NoAccess(Ends):
    """The hub knows the dataset, and this person may not read it yet."""


@contextmanager
def worded(source: HubSource) -> Iterator[None]:
    """Raise what the hub's client raises as errors of one line; being told to stop passes through."""
    import httpx2

    try:
        yield
    except InterruptedError:
        raise
    except (OSError, httpx2.HTTPError) as error:  # the client's own errors are OSErrors, those of its transport are not
        raise _in_words(source, error) from None
    except ValueError as error:
        if isinstance(error, UniferumError):
            raise
        cure = "it sent a page of another kind: check HF_ENDPOINT, or a proxy that asks for a login"
        raise Ends(f"the hub, for {source.repo}", must="answer in JSON", cure=cure) from None


def one_line(error: BaseException) -> str:
    """An error's text without line breaks."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _in_words(source: HubSource, error: Exception) -> UniferumError:
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return Ends("HF_HUB_OFFLINE", must="be unset to fetch a dataset")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Ends("--out", error.strerror, must="have room", cure="free some; the same command goes on")
    answered = error if isinstance(error, HfHubHTTPError) else error.__cause__
    if isinstance(answered, HfHubHTTPError):
        return _answered(source, answered.response.status_code, answered)
    cure = f"{one_line(error)}; check the connection, a proxy, or HF_ENDPOINT; the same command goes on"
    return UniferumError(f"the hub, for {source.repo}", must="be reachable", cure=cure)


def _answered(source: HubSource, code: int, error: Exception) -> UniferumError:
    if code in (401, 403):
        cure = (
            f"accept the terms at {source.page} (signed in; some owners answer by e-mail), then log in here: "
            "hf auth login, or set HF_TOKEN to a read token of the same account"
        )
        return NoAccess(f"the dataset {source.repo}", f"the hub answered {code}", must="be open to you", cure=cure)
    found = re.search(r"/resolve/[^/]+/([^\s?]+)", str(error))
    where = f"{source.repo}: {found.group(1).rstrip('.')}" if found else source.repo
    if code == 429 or code >= 500:
        cure = "the fault is the server's: try again later; the same command goes on"
        return UniferumError(where, f"the hub answered {code}", must="be served", cure=cure)
    return UniferumError(where, f"the hub answered {code}", must="be there", cure=source.page)
