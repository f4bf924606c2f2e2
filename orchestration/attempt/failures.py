"""Classify exceptions: infrastructure failures are retried, user errors are not.

A retry does not change the identity of a cell. An exception is classified by its class; where the process is gone, by
the text that Ray reports about it.
"""

import errno
import re
import traceback
from dataclasses import dataclass

from orchestration.disk import FULL_TEXTS, is_full
from uniferum.errors import OtherHardware, UniferumError

HARDWARE = "other hardware"
USER, NAN, BUG = "user error", "not a number", "error in the code"
WORKER_KILLED, NODE_LOST, HOST_OOM, GPU_OOM = "worker killed", "node lost", "out of memory", "out of GPU memory"
STORAGE, NETWORK, NCCL, PEER_LOST = "storage", "network", "communication between GPUs", "another worker lost"
STALLED, TIMEOUT, CANCELLED, FENCED = "stalled", "timeout", "cancelled", "taken over"

RETRIED = frozenset({WORKER_KILLED, NODE_LOST, HOST_OOM, GPU_OOM, STORAGE, NETWORK, NCCL, PEER_LOST, STALLED, HARDWARE})

_STORAGE_ERRNO = {errno.EIO, errno.ENOSPC, errno.ESTALE, errno.EDQUOT, errno.EROFS, errno.EBUSY}
_NETWORK_ERRNO = {
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.ETIMEDOUT,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EPIPE,
}

# Messages of Ray, PyTorch and CUDA in lower case, most specific first.
_TEXTS: tuple[tuple[str, str], ...] = (
    ("outofmemoryerror: task was killed", HOST_OOM),
    ("killed due to the node running low on memory", HOST_OOM),
    ("memory on the node", HOST_OOM),
    ("device-side assert", BUG),
    ("cuda error: out of memory", GPU_OOM),
    ("cuda out of memory", GPU_OOM),
    ("cublas_status_alloc_failed", GPU_OOM),
    ("can't allocate memory", HOST_OOM),
    ("dataloader worker", WORKER_KILLED),
    # Messages of gloo and torch.distributed in a worker whose peer, another worker of the cell, has died.
    ("connection closed by peer", PEER_LOST),
    ("broken pipe", PEER_LOST),
    ("socket has timed out", PEER_LOST),
    ("ms for recv operation", PEER_LOST),
    ("ms for send operation", PEER_LOST),
    ("distnetworkerror", PEER_LOST),
    ("diststoreerror", PEER_LOST),
    ("nccl", NCCL),
    ("cuda error", NCCL),
    *((words, STORAGE) for words in FULL_TEXTS),
    ("stale file handle", STORAGE),
    ("node was terminated", NODE_LOST),
    ("node is dead", NODE_LOST),
    ("node died", NODE_LOST),
    ("nodediederror", NODE_LOST),
    ("preempt", NODE_LOST),
    ("is unavailable", NODE_LOST),
    ("actordiederror", WORKER_KILLED),
    ("actor died", WORKER_KILLED),
    ("actor is dead", WORKER_KILLED),
    ("workercrashederror", WORKER_KILLED),
    ("worker died", WORKER_KILLED),
    ("sigkill", WORKER_KILLED),
    ("system_error", WORKER_KILLED),
    ("gcs", NODE_LOST),
    ("connection reset", NETWORK),
    ("connection refused", NETWORK),
    ("timed out", NETWORK),
)


# Exceptions in a remote traceback that another attempt would raise again.
_CODE_ERROR = re.compile(
    r"^(?:\x1b\[[0-9;]*m)*(?:ModuleNotFound|Import|Attribute|Name|Syntax|Type|Value|Key|Index|Assertion)Error\b", re.M
)


@dataclass(frozen=True)
class Fault:
    """The class of an error and its reason in one line."""

    kind: str
    reason: str

    @property
    def retried(self) -> bool:
        """Whether a new attempt can succeed without any change by the user."""
        return self.kind in RETRIED

    @property
    def signature(self) -> str:
        """The fault without details that differ between cells: paths, numbers, quoted names."""
        plain = re.sub(r"\S*/\S*|'[^']*'|0x[0-9a-f]+|\b[0-9a-f]{12,}\b", "_", self.reason)
        return f"{self.kind}: {re.sub(r'[-+]?[0-9][0-9.e+-]*', '#', plain.split(';')[0])}"


def classify(error: BaseException) -> Fault:
    """Classify an exception that was raised in the cell's own process."""
    return Fault(_kind(error), one_line(error))


def classify_text(text: str) -> Fault:
    """Classify the text that Ray reports about a process that is gone."""
    lowered = text.lower()
    if _CODE_ERROR.search(text):
        return Fault(BUG, _summary_line(text))
    kind = next((kind for words, kind in _TEXTS if words in lowered), WORKER_KILLED)
    return Fault(kind, _summary_line(text))


def poisons_process(error: BaseException) -> bool:
    """Whether the process must not run another cell, because a CUDA context does not survive the error."""
    text = str(error).lower()
    return "cuda error" in text or "nccl" in text or isinstance(error, MemoryError)


def one_line(error: BaseException) -> str:
    """Format an exception as one line: a user error's message, otherwise class, message, file and line."""
    if isinstance(error, UniferumError):
        return str(error)
    last = traceback.extract_tb(error.__traceback__)
    where = f" ({last[-1].filename.rsplit('/', 1)[-1]}:{last[-1].lineno})" if last else ""
    return f"{type(error).__name__}: {_first_line(str(error))}{where}"


def _kind(error: BaseException) -> str:
    if isinstance(error, OtherHardware):
        return HARDWARE
    if isinstance(error, UniferumError):
        return NAN if "finite" in error.must or "NaN" in str(error) else USER
    if isinstance(error, FloatingPointError):
        return NAN
    if isinstance(error, MemoryError):
        return HOST_OOM
    return _kind_of_io_error(error) or _kind_by_name(error)


def _kind_of_io_error(error: BaseException) -> str | None:
    """The class of a disk or network error; None for other errors."""
    number = error.errno if isinstance(error, OSError) else None
    if number in _STORAGE_ERRNO or is_full(error):
        return STORAGE
    if number in _NETWORK_ERRNO or isinstance(error, ConnectionError | TimeoutError):
        return NETWORK
    return None


def _kind_by_name(error: BaseException) -> str:
    if type(error).__name__ == "OutOfMemoryError":
        return GPU_OOM
    if not isinstance(error, RuntimeError):
        return BUG
    text = f"{type(error).__name__}: {error}".lower()
    known = (BUG, GPU_OOM, NCCL, HOST_OOM, WORKER_KILLED, PEER_LOST)
    return next((kind for words, kind in _TEXTS if words in text and kind in known), BUG)


def _summary_line(text: str) -> str:
    """One line of Ray's text: the last line of a remote traceback, which names the exception; otherwise the first."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    if "Traceback (most recent call last)" not in plain and "RayTaskError" not in plain:
        return _first_line(plain)
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    return lines[-1][:300]


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[0] if lines else "no message")[:200]
