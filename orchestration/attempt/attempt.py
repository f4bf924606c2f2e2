"""One attempt at a cell inside a worker process: what it is given, how it runs, what it reports.

Every exception of a cell becomes an :class:`AttemptResult`, so that the process can run the next cell. The cell's
folder belongs to the attempt whose token is in ``attempt.json``: a worker with another token stops writing, because a
later attempt has replaced it. Nothing here needs Ray.
"""

import gc
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from orchestration.attempt import failures
from orchestration.attempt.failures import Fault
from orchestration.attempt.spool import ProgressReporter, SpoolReporter
from orchestration.attempt.watchdog import watchdog
from orchestration.grid.records import CellFolder, read_json
from orchestration.grid.states import Phase
from uniferum.atomic import write_json

if TYPE_CHECKING:
    from uniferum.training.reporter import Reporter

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Attempt:
    """One try at a cell, from the scheduler through an executor to the worker that runs it."""

    name: str
    folder: str
    config: dict[str, Any]
    stores: dict[str, str]
    number: int = 0  # 1 for the first try; 0 before the scheduler has started one
    token: str = ""
    evaluate_only: bool = False
    stall_s: float = 1800.0
    heartbeat: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    priority: int = 0
    expected_hours: float = 0.0
    axes: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The keys that a worker reads; the others, priority, expected hours and axes, are left out."""
        keys = asdict(self)
        del keys["priority"], keys["expected_hours"], keys["axes"]
        return {"attempt" if key == "number" else key: value for key, value in keys.items()}

    @classmethod
    def from_json(cls, keys: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`."""
        return cls(**{"number" if key == "attempt" else key: value for key, value in keys.items()})


@dataclass(frozen=True)
class AttemptResult:
    """How an attempt ended: done, stopped on request, or failed with a fault."""

    name: str
    number: int
    fault: Fault | None = None
    stopped: bool = False
    stop_reason: str | None = None
    poisoned: bool = False  # the process must not run another cell
    seconds: float = 0.0
    node: str | None = None

    @property
    def kind(self) -> str | None:
        """The class of the fault; None if there is none."""
        return self.fault.kind if self.fault else None

    @property
    def reason(self) -> str | None:
        """Why the attempt failed or was stopped."""
        return self.fault.reason if self.fault else self.stop_reason

    def to_json(self) -> dict[str, Any]:
        """The keys of ``ended-N-NAME.json``."""
        return {
            "name": self.name,
            "attempt": self.number,
            "kind": self.kind,
            "reason": self.reason,
            "stopped": self.stopped,
            "poisoned": self.poisoned,
            "seconds": self.seconds,
            "node": self.node,
        }

    @classmethod
    def from_json(cls, keys: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`."""
        rest = {key: keys[key] for key in ("name", "stopped", "poisoned", "seconds", "node")}
        fault = Fault(keys["kind"], keys["reason"] or "") if keys["kind"] else None
        return cls(number=keys["attempt"], fault=fault, stop_reason=None if fault else keys["reason"], **rest)


class Fenced(RuntimeError):
    """A later attempt owns the cell's folder."""


class StopSignal:
    """Answer the trainer's question between steps whether to stop; reads the disk at most twice a second."""

    def __init__(self, attempt: Attempt, *, every_s: float = 0.5, orphan_s: float = 120.0) -> None:
        """Watch the folder of an attempt.

        Args:
            attempt: whose folder, token and heartbeat file are read.
            every_s: pause between two reads.
            orphan_s: seconds without a new heartbeat after which the driver counts as gone.
        """
        self.record = CellFolder(Path(attempt.folder))
        self.token = attempt.token
        self.heartbeat = Path(attempt.heartbeat) if attempt.heartbeat else None
        self.every_s, self.orphan_s = every_s, orphan_s
        self.reason: str | None = None
        self.alive: Callable[[], None] = lambda: None
        self._looked = 0.0
        self._beat: tuple[str, float] = ("", time.monotonic())

    def __call__(self) -> bool:
        """Whether to write a checkpoint and stop.

        Raises:
            Fenced: another attempt owns the folder: nothing more may be written there, not even a checkpoint.
        """
        self.alive()
        now = time.monotonic()
        if self.reason is None and now - self._looked >= self.every_s:
            self._looked = now
            self.reason = self._why(now)
        if self.reason == failures.FENCED:
            raise Fenced("another attempt owns the cell's folder")
        return self.reason is not None

    def _why(self, now: float) -> str | None:
        owner = read_json(self.record.folder / "attempt.json")
        if owner is not None and owner.get("token") != self.token:
            return failures.FENCED
        return self.record.stop_reason() or self._orphaned(now)

    def _orphaned(self, now: float) -> str | None:
        if self.heartbeat is None:
            return None
        try:
            beat = self.heartbeat.read_text()
        except OSError:
            beat = self._beat[0]
        if beat != self._beat[0]:
            self._beat = (beat, now)
        return "its driver is gone" if now - self._beat[1] > self.orphan_s else None


def attempt_cell(
    attempt: Attempt,
    train: Callable[..., Any],
    evaluate: Callable[..., Any],
    listeners: "Sequence[Reporter]" = (),
    *,
    first: bool = True,
) -> AttemptResult:
    """Run one attempt and report how it ended; raises nothing.

    Args:
        attempt: what to run and where.
        train: ``uniferum.run.train_run`` or a function with its signature.
        evaluate: ``uniferum.run.evaluate_run`` or a function with its signature.
        listeners: further reporters, besides spool and progress.
        first: whether this process is the cell's first worker, the one that writes files.
    """
    started, stop = time.time(), StopSignal(attempt)
    error = _caught(attempt, train, evaluate, stop, listeners if first else None)
    _free_memory()
    stopped = type(error).__name__ == "Interrupted"
    fault = None if error is None or stopped else _fault_of(error)
    return AttemptResult(
        attempt.name,
        attempt.number,
        fault=fault,
        stopped=stopped,
        stop_reason=stop.reason if fault is None else None,
        poisoned=error is not None and failures.poisons_process(error),
        seconds=time.time() - started,
        node=os.uname().nodename,
    )


def _fault_of(error: Exception) -> Fault:
    if isinstance(error, Fenced):
        return Fault(failures.FENCED, "another driver runs the cell now")
    return failures.classify(error)


def _caught(
    attempt: Attempt,
    train: Callable[..., Any],
    evaluate: Callable[..., Any],
    stop: StopSignal,
    listeners: "Sequence[Reporter] | None",
) -> Exception | None:
    folder = Path(attempt.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _log_to_cell(folder, attempt), watchdog(folder, attempt.number, attempt.stall_s) as alive:
            try:
                _run(attempt, train, evaluate, stop, alive, listeners)
            except Exception:
                log.error("attempt %d ended\n%s", attempt.number, traceback.format_exc())
                raise
    except Exception as error:  # noqa: BLE001 - one bad cell must not stop the others; it is noted and reported
        return error
    return None


def _run(
    attempt: Attempt,
    train: Callable[..., Any],
    evaluate: Callable[..., Any],
    stop: StopSignal,
    alive: Callable[[], None],
    listeners: "Sequence[Reporter] | None",
) -> None:
    from uniferum.config import parse
    from uniferum.run import RunConfig
    from uniferum.training.reporter import Fanout

    folder, stop.alive = Path(attempt.folder), alive
    config = parse(RunConfig, attempt.config, source=f"cell {attempt.name}")
    stores = dict(attempt.stores)
    reporter, beat = Fanout([]), alive
    if listeners is not None:
        progress = ProgressReporter(folder, steps=config.training.steps, alive=alive)
        progress.phase(Phase.SCORING if attempt.evaluate_only else Phase.STARTING)
        reporter, beat = Fanout([SpoolReporter(folder), progress, *listeners]), progress.beat
    if attempt.evaluate_only:
        evaluate(config, stores, folder, reporter, stop=stop, alive=beat)
    else:
        train(config, stores, folder, reporter, stop=stop, alive=beat, **attempt.options)


@contextmanager
def _log_to_cell(folder: Path, attempt: Attempt) -> Iterator[None]:
    """Redirect all output of the process to ``cell.log``: Python's, C libraries' and that of child processes."""
    sys.stdout.flush()
    sys.stderr.flush()
    target = os.open(folder / "cell.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    kept = os.dup(1), os.dup(2)
    handler = logging.StreamHandler(os.fdopen(os.dup(target), "w", buffering=1))
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    level = root.level
    try:
        os.dup2(target, 1)
        os.dup2(target, 2)
        root.addHandler(handler)
        root.setLevel(min(level, logging.INFO))
        log.info("attempt %d of %s on %s, process %d", attempt.number, attempt.name, os.uname().nodename, os.getpid())
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        handler.close()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):  # on a full disk the buffered output is lost; the process must go on
                stream.flush()
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for descriptor in (*kept, target):
            os.close(descriptor)


def _free_memory() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def write_attempt(path: Path, attempt: Attempt) -> None:
    """Write the cell's axes and the attempt's token into the cell's folder, then the attempt itself to ``path``."""
    folder = Path(attempt.folder)
    folder.mkdir(parents=True, exist_ok=True)
    record = CellFolder(folder)
    record.clear_stop()
    record.clear_failure()
    (folder / "progress.json").unlink(missing_ok=True)
    if attempt.axes:
        write_json(record.files.axes, attempt.axes)
    else:
        record.files.axes.unlink(missing_ok=True)
    write_json(folder / "attempt.json", {"token": attempt.token, "attempt": attempt.number, "when": time.time()})
    write_json(path, attempt.to_json())


def read_attempt(path: Path) -> Attempt | None:
    """Read the attempt at ``path``; None if there is none."""
    keys = read_json(path)
    return Attempt.from_json(keys) if keys else None
