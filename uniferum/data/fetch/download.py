"""Download one file over HTTP: resume with Range requests, verify its checksum, rename when complete.

Partial content is in ``<name>.part`` beside the file. A file under its own name is complete and verified.
"""

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event

import requests
import urllib3

from uniferum.data.fetch.plan import RemoteFile, gb, has_size
from uniferum.errors import StateError

PART = ".part"
CHUNK = 2**20
ATTEMPTS = 6
"""Number of consecutive attempts without a new byte before a file is given up."""
TIMEOUT_S = (20.0, 60.0)
"""Time-outs in seconds for connecting, and between two reads."""
LONGEST_PAUSE_S = 60.0

Heard = Callable[[int], None]


class Cut(Exception):
    """The connection ended early or the server is busy: a retry may succeed."""


def fetch_file(
    file: RemoteFile,
    out: Path,
    *,
    headers: Mapping[str, str] | None = None,
    heard: Heard | None = None,
    stop: Event | None = None,
    pause_s: float = 1.0,
) -> bool:
    """Download one file into ``out``, and continue an earlier attempt.

    Args:
        file: the file and its address.
        out: folder of the dataset.
        headers: headers of each request, e.g. authorization.
        heard: called with numbers of bytes as they arrive; negative if some must be fetched again.
        stop: event that stops the download; its partial content is kept.
        pause_s: pause before the second attempt, doubled for each further one.

    Returns:
        whether anything was downloaded.

    Raises:
        StateError: no access, no such file, no connection, a full disk, or a checksum that never matches.
    """
    target = out / file.path
    part = target.with_name(target.name + PART)
    target.parent.mkdir(parents=True, exist_ok=True)
    if has_size(target, file.size) and matches(target, file.checksum):
        _report(heard, file.size)
        return False
    for fresh in (False, True):
        _complete(file, part, headers or {}, heard, stop or Event(), pause_s)
        if has_size(part, file.size) and matches(part, file.checksum):
            part.replace(target)
            return True
        _report(heard, -part.stat().st_size)
        part.unlink()
        if fresh:
            break
    cure = "Run the same command again; if it fails again, tell the owners of the dataset."
    raise StateError(f"{file.path} differs from the size and checksum that its server states", cure=cure)


def matches(path: Path, checksum: str) -> bool:
    """Whether a file matches a checksum ``algorithm:digits``; true if it is empty."""
    algorithm, _, digits = checksum.partition(":")
    if not digits:
        return True
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, algorithm).hexdigest() == digits.lower()


def _complete(
    file: RemoteFile, part: Path, headers: Mapping[str, str], heard: Heard | None, stop: Event, pause_s: float
) -> None:
    """Download the rest of a partial file."""
    have = _length(part)
    _report(heard, min(have, file.size))
    if have > file.size:
        part.unlink()
        have = 0
    tries, longest = 0, have
    while have < file.size or not part.exists():
        try:
            _append(file, part, have, headers, heard, stop)
        except (Cut, requests.RequestException) as error:
            tries += 1
            reason = str(error) if isinstance(error, Cut) else type(error).__name__
        else:
            reason = "the connection ended early"
            tries += 1
        have = _length(part)
        if have > longest:  # progress only if longer than ever: some servers start from the beginning each time
            tries, longest = 0, have
        if tries >= ATTEMPTS:
            cure = f"{gb(have)} of {gb(file.size)} are kept; run the same command again."
            raise StateError(f"{file.path} could not be downloaded ({reason})", cure=cure)
        if have < file.size:
            stop.wait(min(pause_s * 2**tries, LONGEST_PAUSE_S))


def _append(
    file: RemoteFile, part: Path, have: int, headers: Mapping[str, str], heard: Heard | None, stop: Event
) -> None:
    request_headers = {**headers, "Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(file.address, headers=request_headers, stream=True, timeout=TIMEOUT_S) as answer:
        _refuse(answer, file)
        if answer.status_code == 200 and have:  # the server does not resume: start again
            _report(heard, -have)
            part.unlink()
        try:
            with part.open("ab") as opened:
                while piece := answer.raw.read1(CHUNK):  # unlike read, it keeps the bytes before an interruption
                    if stop.is_set():
                        raise KeyboardInterrupt
                    opened.write(piece)
                    _report(heard, len(piece))
                opened.flush()
                os.fsync(opened.fileno())
        except urllib3.exceptions.HTTPError as error:
            raise Cut(f"the connection ended early ({type(error).__name__})") from None
        except OSError as error:
            statement = f"{file.path} could not be written ({error.strerror})"
            raise StateError(statement, cure="Free some space, and run the same command again.") from None


def _refuse(answer: requests.Response, file: RemoteFile) -> None:
    """Raise an error for every response without the file's bytes."""
    code = answer.status_code
    if code in (200, 206):
        return
    if code in (408, 425, 429) or code >= 500 or code == 416:
        wait = answer.headers.get("Retry-After", "")
        if wait.isdigit():
            time.sleep(min(float(wait), LONGEST_PAUSE_S))
        raise Cut(f"the server answered {code}")
    if code in (401, 403):
        cure = "Its page describes how to get access; see uniferum data fetch --help."
        raise StateError(f"You have no access to {file.path} (the server answered {code})", cure=cure)
    raise StateError(f"{file.path} does not exist (the server answered {code})", cure="The dataset may have moved.")


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _report(heard: Heard | None, count: int) -> None:
    if heard is not None:
        heard(count)
