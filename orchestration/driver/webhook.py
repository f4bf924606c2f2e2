"""Notify a webhook when a cell fails or the grid ends; a failed notification is only logged."""

import json
import logging
import threading
import urllib.request
from collections.abc import Mapping
from typing import Any

from uniferum.errors import UniferumError

log = logging.getLogger(__name__)


def check_url(url: str | None) -> None:
    """Check the URL of a webhook before anything runs.

    Raises:
        UniferumError: it is not an http(s) URL.
    """
    if url is not None and not url.startswith(("http://", "https://")):
        raise UniferumError("--notify", url, must="be an http(s) URL")


def notify(url: str | None, event: str, facts: Mapping[str, Any], *, wait: bool = False) -> None:
    """POST ``{"event": ..., **facts, "text": one line}`` in the background; ``wait``: until it is sent."""
    if url is None:
        return
    text = f"uniferum {facts.get('grid')}: {event}" + (f" {facts['cell']}" if "cell" in facts else "")
    body = json.dumps({"event": event, "text": text, **facts}).encode()
    thread = threading.Thread(target=_post, args=(url, body), name="notify", daemon=True)
    thread.start()
    if wait:
        thread.join(timeout=15)


def _post(url: str, body: bytes) -> None:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            reply.read()
    except (OSError, ValueError) as error:
        log.warning("could not notify %s: %s", url, error)
