"""Tell a webhook that a cell failed or that the grid ended; one that does not answer changes nothing."""

import json
import logging
import threading
import urllib.request
from collections.abc import Mapping
from typing import Any

from uniferum.errors import UniferumError

log = logging.getLogger(__name__)


def check_url(url: str | None) -> None:
    """Refuse what is no webhook before anything runs.

    Raises:
        UniferumError: not http or https.
    """
    if url is not None and not url.startswith(("http://", "https://")):
        raise UniferumError("--notify", url, must="be an http(s) address")


def notify(url: str | None, event: str, facts: Mapping[str, Any], *, wait: bool = False) -> None:
    """POST ``{"event": ..., **facts, "text": one line}`` in the background; ``wait`` for the last one."""
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
        log.warning("%s did not take the notification: %s", url, error)
