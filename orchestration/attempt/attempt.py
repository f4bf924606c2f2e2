"""One cell inside a worker process: its log, its listeners, its end; nothing here needs Ray.

Whatever a cell raises ends here as an :class:`Outcome`, so that the process can take the next cell. The cell's folder
is fenced by a token: a worker whose token is no longer the folder's stops writing, because another attempt took over.
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
from typing import TYPE_CHECKING, Any

from orchestration.attempt import failures
from orchestration.attempt.spool import ProgressReporter, SpoolReporter
from orchestration.attempt.watchdog import watchdog
from orchestration.grid.records import CellFolder, read_json
from uniferum.atomic import write_json

if TYPE_CHECKING:
    from uniferum.training.reporter import Reporter

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Assignment:
    """Everything a worker needs for one attempt at one cell."""

    name: str
    folder: str
    config: dict[str, Any]
    stores: dict[str, str]
    attempt: int
    token: str
    evaluate_only: bool = False
    stall_s: float = 1800.0
    heartbeat: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended."""

    name: str
    attempt: int
    kind: str | None = None
    reason: str | None = None
    stopped: bool = False
    poisoned: bool = False
    seconds: float = 0.0
    node: str | None = None


class Fenced(RuntimeError):
    """Another attempt has the cell's folder now."""


class StopSignal:
    """Asked by the trainer between steps; looks at the disk twice a second at most."""

    def __init__(self, assignment: Assignment, *, every_s: float = 0.5, orphan_s: float = 120.0) -> None:
        self.record = CellFolder(Path(assignment.folder))
        self.token = assignment.token
        self.heartbeat = Path(assignment.heartbeat) if assignment.heartbeat else None
        self.every_s, self.orphan_s = every_s, orphan_s
        self.reason: str | None = None
        self.alive: Callable[[], None] = lambda: None
        self._looked = 0.0
        self._beat: tuple[str, float] = ("", time.monotonic())

    def __call__(self) -> bool:
        """Whether to write a checkpoint and stop.

        Raises:
            Fenced: another attempt has the folder: nothing may be written there any more, not even a checkpoint.
        """
        self.alive()
        now = time.monotonic()
        if self.reason is None and now - self._looked >= self.every_s:
            self._looked = now
            self.reason = self._why(now)
        if self.reason == failures.FENCED:
            raise Fenced("another attempt took the cell over")
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
    assignment: Assignment,
    train: Callable[..., Any],
    evaluate: Callable[..., Any],
    listeners: "Sequence[Reporter]" = (),
    *,
    first: bool = True,
) -> Outcome:
    """Run one attempt to its end, whatever that is.

    Args:
        assignment: what to run and where.
        train: ``uniferum.run.train_run`` or something with its signature.
        evaluate: ``uniferum.run.evaluate_run`` likewise.
        listeners: who is told besides spool and progress.
        first: whether this process is the one of the cell's workers that writes.
    """
    started, stop = time.time(), StopSignal(assignment)
    error = _caught(assignment, train, evaluate, stop, listeners if first else None)
    _free_memory()
    fault = failures.classify(error) if error is not None else None
    if isinstance(error, Fenced):
        fault = failures.Fault(failures.FENCED, "another driver took the cell over")
    stopped = type(error).__name__ == "Interrupted"
    return Outcome(
        assignment.name,
        assignment.attempt,
        kind=None if stopped or fault is None else fault.kind,
        reason=stop.reason if stopped or fault is None else fault.reason,
        stopped=stopped,
        poisoned=error is not None and failures.poisons_process(error),
        seconds=time.time() - started,
        node=os.uname().nodename,
    )


def _caught(
    assignment: Assignment,
    train: Callable[..., Any],
    evaluate: Callable[..., Any],
    stop: StopSignal,
    listeners: "Sequence[Reporter] | None",
) -> Exception | None:
    folder = Path(assignment.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _log_of_its_own(folder, assignment), watchdog(folder, assignment.attempt, assignment.stall_s) as alive:
            try:
                _run(assignment, train, evaluate, stop, alive, listeners)
            except Exception:
                log.error("attempt %d ended\n%s", assignment.attempt, traceback.format_exc())
                raise
    except Exception as error:  # noqa: BLE001 - one bad cell must not stop the others; it is noted and reported
        return error
    return None


def _run(
    assignment: Assignment,
    train: Callable[..., Any],
    evaluate: Callable[..., Any],
    stop: StopSignal,
    alive: Callable[[], None],
    listeners: "Sequence[Reporter] | None",
) -> None:
    from uniferum.config import parse
    from uniferum.run import RunConfig
    from uniferum.training.reporter import Fanout

    folder, stop.alive = Path(assignment.folder), alive
    config = parse(RunConfig, assignment.config, source=f"cell {assignment.name}")
    stores = dict(assignment.stores)
    reporter, beat = Fanout([]), alive
    if listeners is not None:
        progress = ProgressReporter(folder, steps=config.training.steps, alive=alive)
        progress.phase("scoring" if assignment.evaluate_only else "starting")
        reporter, beat = Fanout([SpoolReporter(folder), progress, *listeners]), progress.beat
    if assignment.evaluate_only:
        evaluate(config, stores, folder, reporter, stop=stop, alive=beat)
    else:
        train(config, stores, folder, reporter, stop=stop, alive=beat, **assignment.options)


@contextmanager
def _log_of_its_own(folder: Path, assignment: Assignment) -> Iterator[None]:
    """Everything printed while the cell runs goes to its ``cell.log``: Python, C and child processes alike."""
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
        log.info(
            "attempt %d of %s on %s, process %d", assignment.attempt, assignment.name, os.uname().nodename, os.getpid()
        )
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        handler.close()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):  # on a full disk these last words are lost; they must not end the process
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


def write_assignment(path: Path, assignment: Assignment) -> None:
    """Fence the cell's folder with the attempt's token, then hand the assignment over."""
    folder = Path(assignment.folder)
    folder.mkdir(parents=True, exist_ok=True)
    record = CellFolder(folder)
    record.clear_stop()
    record.clear_failure()
    (folder / "progress.json").unlink(missing_ok=True)
    write_json(folder / "attempt.json", {"token": assignment.token, "attempt": assignment.attempt, "when": time.time()})
    write_json(path, asdict(assignment))


def read_assignment(path: Path) -> Assignment | None:
    """The assignment that lies at ``path``; None where there is none."""
    data: Mapping[str, Any] | None = read_json(path)
    return Assignment(**data) if data else None
