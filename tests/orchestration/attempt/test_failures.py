"""Infrastructure failures are distinguished from user errors."""

import errno

import pytest

from orchestration.attempt import failures
from orchestration.attempt.failures import Fault, classify, classify_text
from uniferum.errors import OtherHardware, UniferumError
from uniferum.training.errors import NonFiniteLoss


class OutOfMemoryError(RuntimeError):
    """Named as torch names it."""


class DistNetworkError(RuntimeError):
    """Named as torch.distributed names it."""


class DistStoreError(RuntimeError):
    """Named as torch.distributed names it."""


class OfALibrary(OSError):
    """A class of a library's own, which Python does not turn into ConnectionError by its number."""


STORAGE_NUMBERS = (errno.EIO, errno.ENOSPC, errno.ESTALE, errno.EDQUOT, errno.EROFS, errno.EBUSY)
NETWORK_NUMBERS = (
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.ETIMEDOUT,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EPIPE,
)


@pytest.mark.parametrize("number", STORAGE_NUMBERS)
def test_an_error_number_of_the_disk_is_storage(number: int) -> None:
    assert classify(OfALibrary(number, "x")).kind == failures.STORAGE


@pytest.mark.parametrize("number", NETWORK_NUMBERS)
def test_an_error_number_of_the_network_is_network(number: int) -> None:
    assert classify(OfALibrary(number, "x")).kind == failures.NETWORK


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
        (OtherHardware("last has the precision bf16, and this machine has fp32"), failures.HARDWARE),
        (RuntimeError("shape '[2, 3]' is invalid for input of size 5"), failures.BUG),
        (OSError(errno.ENOSPC, "No space left on device"), failures.STORAGE),
        (OSError(errno.ESTALE, "Stale file handle"), failures.STORAGE),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), failures.NETWORK),
        (TimeoutError("no answer"), failures.NETWORK),
        (ConnectionAbortedError("gone"), failures.NETWORK),
        (FloatingPointError("overflow"), failures.NAN),
        (UniferumError("learning rate", "NaN", must="be a number"), failures.NAN),
        (OutOfMemoryError("allocation on device 0 failed"), failures.GPU_OOM),
        (DistNetworkError("failed to recv, got 0 bytes"), failures.PEER_LOST),
        (DistStoreError("wait timeout after 300000ms"), failures.PEER_LOST),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), failures.GPU_OOM),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), failures.NCCL),
        (RuntimeError("Timed out waiting 1800000ms for send operation to complete"), failures.PEER_LOST),
        # Words of a lost node or of the network in an error that our own code raised tell nothing.
        (RuntimeError("a connection reset by the user's own code"), failures.BUG),
        (RuntimeError("the node died"), failures.BUG),
        (ValueError("NCCL"), failures.BUG),
    ],
)
def test_an_exception_is_classified(error: BaseException, kind: str) -> None:
    assert classify(error).kind == kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("OutOfMemoryError: Task was killed due to the node running low on memory.", failures.HOST_OOM),
        ("ActorDiedError: The actor died unexpectedly before finishing this task.", failures.WORKER_KILLED),
        ("ActorUnavailableError: The actor ae35 is unavailable: RPC error: Connection refused", failures.NODE_LOST),
        ("The node was terminated unexpectedly", failures.NODE_LOST),
        ("WorkerCrashedError: The worker died unexpectedly", failures.WORKER_KILLED),
        ("an unknown message", failures.WORKER_KILLED),
        ("OutOfMemoryError: Task was killed; its connection timed out", failures.HOST_OOM),
        ("2 workers were killed due to the node running low on memory", failures.HOST_OOM),
        ("Memory on the node (IP: 10.0.0.7) was 62.1GB / 64.0GB", failures.HOST_OOM),
        ("RuntimeError: CUDA out of memory. Tried to allocate 2 GiB", failures.GPU_OOM),
        ("NCCL watchdog: the collective timed out", failures.NCCL),
        ("OSError: No space left on device", failures.STORAGE),
        ("OSError: Stale file handle", failures.STORAGE),
        ("ActorDiedError: the actor's node is dead", failures.NODE_LOST),
        ("ActorDiedError: The actor died because its node died", failures.NODE_LOST),
        ("NodeDiedError: 10.0.0.7", failures.NODE_LOST),
        ("the instance is being preempted", failures.NODE_LOST),
        ("Failed to connect to GCS within 60 s", failures.NODE_LOST),
        ("ActorDiedError: its connection timed out", failures.WORKER_KILLED),
        ("The actor died; its last request timed out", failures.WORKER_KILLED),
        ("The actor is dead; its last request timed out", failures.WORKER_KILLED),
        ("WorkerCrashedError: its connection timed out", failures.WORKER_KILLED),
        ("The worker died; its connection timed out", failures.WORKER_KILLED),
        ("the process ended with SIGKILL; its connection timed out", failures.WORKER_KILLED),
        ("Worker exit type: SYSTEM_ERROR; connection refused", failures.WORKER_KILLED),
        ("RpcError: Connection reset by peer", failures.NETWORK),
        ("RpcError: connection refused", failures.NETWORK),
        ("the request timed out", failures.NETWORK),
        ("Traceback (most recent call last):\n  File x\nModuleNotFoundError: No module named 'timm'", failures.BUG),
        ("WorkerGroupError: rank 1:\nTypeError: run_worker() takes 1 argument", failures.BUG),
    ],
)
def test_the_text_that_ray_reports_about_a_lost_process_is_classified(text: str, kind: str) -> None:
    assert classify_text(text).kind == kind


MACHINE = (
    failures.WORKER_KILLED,
    failures.NODE_LOST,
    failures.HOST_OOM,
    failures.GPU_OOM,
    failures.STORAGE,
    failures.NETWORK,
    failures.NCCL,
    failures.PEER_LOST,
    failures.STALLED,
    failures.HARDWARE,
)
OTHERS = (failures.USER, failures.NAN, failures.BUG, failures.TIMEOUT, failures.CANCELLED, failures.FENCED)


@pytest.mark.parametrize("kind", MACHINE)
def test_a_fault_of_the_machine_is_retried(kind: str) -> None:
    assert Fault(kind, "").retried


@pytest.mark.parametrize("kind", OTHERS)
def test_a_fault_that_would_come_again_is_not_retried(kind: str) -> None:
    assert not Fault(kind, "").retried


def test_a_reason_is_one_line_with_file_and_line() -> None:
    try:
        {}["layer"]
    except KeyError as error:
        reason = classify(error).reason
    assert reason.startswith("KeyError: 'layer' (test_failures.py:")
    assert "\n" not in classify(ValueError("two\nlines")).reason
    assert classify(ValueError("two\nlines")).reason == "ValueError: two"
    assert classify(ValueError()).reason == "ValueError: no message"
    assert classify(UniferumError("training.steps", -1, must="be at least 1")).reason.startswith("training.steps (-1)")


def test_of_a_remote_traceback_the_last_line_is_the_reason_and_of_other_texts_the_first() -> None:
    frames = ["\x1b[36mray::worker()\x1b[39m", "  File x.py", "KeyError: 'layer'"]
    remote = ["Traceback (most recent call last):", *frames]
    assert classify_text("\n".join(remote)) == Fault(failures.BUG, "KeyError: 'layer'")
    assert classify_text("\n".join(["RayTaskError(KeyError)", *frames])).reason == "KeyError: 'layer'"
    plain = "The node was terminated\nat 10.0.0.7\n"
    assert classify_text(plain) == Fault(failures.NODE_LOST, "The node was terminated")


def test_reasons_that_differ_in_numbers_paths_and_names_are_of_one_kind() -> None:
    one = Fault(failures.NAN, "loss of step 3 at /runs/a/last of 'x' is -1.5e+3; see there")
    other = Fault(failures.NAN, "loss of step 17 at /runs/b/last of 'y' is 2.25; see elsewhere")
    assert one.signature == other.signature == "not a number: loss of step # at _ of _ is #"
    assert Fault(failures.BUG, one.reason).signature != one.signature


@pytest.mark.parametrize(
    ("error", "poisoned"),
    [
        (RuntimeError("CUDA error: an illegal memory access was encountered"), True),
        (RuntimeError("NCCL communicator was aborted"), True),
        (MemoryError(), True),
        (ValueError("too short"), False),
    ],
)
def test_a_process_is_given_up_after_a_broken_cuda_context_or_full_memory(error: Exception, poisoned: bool) -> None:
    assert failures.poisons_process(error) is poisoned


def test_kinds_keep_the_names_that_the_records_of_earlier_runs_have() -> None:
    assert sorted((*MACHINE, *OTHERS)) == [
        "another worker lost",
        "cancelled",
        "communication between GPUs",
        "error in the code",
        "network",
        "node lost",
        "not a number",
        "other hardware",
        "out of GPU memory",
        "out of memory",
        "stalled",
        "storage",
        "taken over",
        "timeout",
        "user error",
        "worker killed",
    ]
