"""Faults of the machine are told apart from those of the user."""

import errno

import pytest

from orchestration.attempt import failures
from orchestration.attempt.failures import Fault, classify, classify_text
from uniferum.errors import OtherHardware, UniferumError
from uniferum.training.errors import NonFiniteLoss


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (UniferumError("training.steps", -1, must="be at least 1"), failures.USER),
        (NonFiniteLoss("loss of step 3", float("nan"), must="be finite"), failures.NAN),
        (KeyError("layer"), failures.BUG),
        (FileNotFoundError(errno.ENOENT, "no such file"), failures.BUG),
        (MemoryError(), failures.HOST_OOM),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
            failures.HOST_OOM,
        ),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), failures.GPU_OOM),
        (RuntimeError("NCCL communicator was aborted on rank 1"), failures.NCCL),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), failures.WORKER_KILLED),
        (RuntimeError("CUDA error: out of memory"), failures.GPU_OOM),
        (RuntimeError("CUDA error: device-side assert triggered"), failures.BUG),
        (RuntimeError("[../gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]"), failures.PEER_LOST),
        (RuntimeError("Timed out waiting 1800000ms for recv operation to complete"), failures.PEER_LOST),
        (RuntimeError("The client socket has timed out after 60s while trying to connect"), failures.PEER_LOST),
        (RuntimeError("[Errno 32] Broken pipe"), failures.PEER_LOST),
        (OtherHardware("precision", "bf16", must="be the precision of this machine (fp32)"), failures.HARDWARE),
        (RuntimeError("shape '[2, 3]' is invalid for input of size 5"), failures.BUG),
        (OSError(errno.ENOSPC, "No space left on device"), failures.STORAGE),
        (OSError(errno.ESTALE, "Stale file handle"), failures.STORAGE),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), failures.NETWORK),
        (TimeoutError("no answer"), failures.NETWORK),
    ],
)
def test_an_exception_has_a_kind(error: BaseException, kind: str) -> None:
    assert classify(error).kind == kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("OutOfMemoryError: Task was killed due to the node running low on memory.", failures.HOST_OOM),
        ("ActorDiedError: The actor died unexpectedly before finishing this task.", failures.WORKER_KILLED),
        ("ActorUnavailableError: The actor ae35 is unavailable: RPC error: Connection refused", failures.NODE_LOST),
        ("The node was terminated unexpectedly", failures.NODE_LOST),
        ("WorkerCrashedError: The worker died unexpectedly", failures.WORKER_KILLED),
        ("something nobody has seen before", failures.WORKER_KILLED),
        ("Traceback (most recent call last):\n  File x\nModuleNotFoundError: No module named 'timm'", failures.BUG),
        ("WorkerGroupError: rank 1:\nTypeError: train_lane() takes 1 argument", failures.BUG),
    ],
)
def test_what_ray_says_of_a_lost_process_has_a_kind(text: str, kind: str) -> None:
    assert classify_text(text).kind == kind


def test_only_faults_of_the_machine_are_retried() -> None:
    never = (failures.USER, failures.NAN, failures.BUG, failures.TIMEOUT, failures.CANCELLED, failures.FENCED)
    assert not any(Fault(kind, "").retried for kind in never)
    retried = (
        failures.WORKER_KILLED,
        failures.NODE_LOST,
        failures.HOST_OOM,
        failures.GPU_OOM,
        failures.STORAGE,
        failures.NETWORK,
    )
    retried += (failures.PEER_LOST, failures.HARDWARE)
    assert all(Fault(kind, "").retried for kind in retried)


def test_a_reason_is_one_line_and_says_where() -> None:
    try:
        {}["layer"]
    except KeyError as error:
        reason = classify(error).reason
    assert reason.startswith("KeyError: 'layer' (test_failures.py:")
    assert "\n" not in classify(ValueError("two\nlines")).reason
