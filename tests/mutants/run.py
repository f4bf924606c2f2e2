"""Put small faults into modules, one at a time, and list those that the module's tests do not notice.

    python -m tests.mutants.run [--draw 300] [--seed 18] [--only WORDS] [--seconds S]

A tool of our own, since the two known ones do not fit: mutmut leaves out the top of a module and every function with a
decorator, that is the table of retried faults and each property; cosmic-ray removes no statement, changes the files
in place and starts an interpreter for each mutant, most of whose time goes into imports. Here the third-party packages
are imported once, and a fork runs the tests of each mutant: the import system is given the faulty text in place of the
file's, so that no file changes and two runs do not disturb each other.

The draw takes the mutants whose hash with the seed is smallest: an edit of one line changes the fate of that line's
mutants alone. A mutant is killed when a test fails, the import fails, or the time limit ends it. `survivors.yaml` has a
reason for each survivor that changes no behaviour; those count as neither killed nor survived. They are run whether
drawn or not, so that a reason whose mutant is killed or no longer exists is noticed. The exit status is 1 where
:func:`judge` names a fault.
"""

import argparse
import contextlib
import hashlib
import importlib
import importlib.machinery
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.mutants.operators import Mutant, mutants_of

ROOT = Path(__file__).resolve().parents[2]
REASONS = Path(__file__).with_name("survivors.yaml")
LEAST_KILLED = 0.9
MEMORY_GIB = 8
NOT_READ = 99

TARGETS: dict[str, tuple[str, ...]] = {
    "orchestration.scheduling.scheduler": ("tests/orchestration/scheduling/test_scheduler.py",),
    "orchestration.attempt.failures": ("tests/orchestration/attempt/test_failures.py",),
    # The same tests on a server take seconds each, and exercise the same lines.
    "orchestration.ledger.ledger": (
        "tests/orchestration/ledger/test_ledger.py",
        "tests/orchestration/ledger/test_database.py",
        "-k=not [server] and not a_server and not grids and not password and not processes",
    ),
    "uniferum.evaluation.delong": ("tests/uniferum/evaluation/test_delong.py",),
    "uniferum.evaluation.bootstrap": ("tests/uniferum/evaluation/test_bootstrap.py",),
    "uniferum.data.sampling": ("tests/uniferum/data/test_sampling.py",),
}
"""Modules, and pytest's arguments for the tests of each."""
PACKAGES = (
    "numpy",
    "pandas",
    "scipy.stats",
    "sklearn.metrics",
    "sqlalchemy.dialects.sqlite",
    "pydantic",
    "yaml",
    "pytest",
    "hypothesis",
    "numba",
    "isal",
    "pyarrow.parquet",
)


@dataclass(frozen=True)
class MutantResult:
    """What became of a mutant, and the CPU seconds of its tests."""

    mutant: Mutant
    killed: bool
    seconds: float


def main(words: Sequence[str] | None = None) -> int:
    """Run the drawn mutants and print the survivors and the faults; return 1 where there is a fault."""
    asked = _parser().parse_args(words)
    os.chdir(ROOT)
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    sys.dont_write_bytecode = True
    everything = [mutant for module in TARGETS for mutant in mutants_of(module, source_of(module))]
    reasons = load_reasons()
    drawn = {mutant.key for mutant in draw(asked.draw, asked.seed)}
    due = [mutant for mutant in everything if mutant.key in drawn | set(reasons) and asked.only in mutant.key]
    for name in PACKAGES:
        importlib.import_module(name)
    results = _run_all(due, asked.seconds)
    for result in results:
        if not result.killed:
            _say(f"{result.mutant.line:4d}  {result.mutant.key}  {reasons.get(result.mutant.key, '')}")
    killed = sum(result.killed for result in results)
    _say(f"of {len(due)} mutants {len(results)} were run: {killed} killed, {len(results) - killed} survived")
    killed_by_key = {result.mutant.key: result.killed for result in results}
    faults = judge(killed_by_key, reasons, {mutant.key for mutant in everything})
    for fault in faults:
        _say(f"fault: {fault}")
    return 1 if faults else 0


def judge(killed: Mapping[str, bool], reasons: Mapping[str, str], existing: Collection[str]) -> list[str]:
    """Name what is wrong with a run: too few mutants killed, a survivor without a reason, a reason without a survivor.

    Args:
        killed: key of each mutant that was run, and whether a test noticed it.
        reasons: why a survivor is no fault, by its key.
        existing: the keys of all mutants of the sources as they are.
    """
    unexplained = [key for key in killed if not killed[key] and key not in reasons]
    faults = [f"survived without a reason in survivors.yaml: {key}" for key in unexplained]
    counted = [key for key in killed if killed[key] or key not in reasons]
    share = sum(killed[key] for key in counted) / len(counted) if counted else 0.0
    if share < LEAST_KILLED:
        faults.append(
            f"{100 * share:.1f} % of {len(counted)} mutants were killed, fewer than {100 * LEAST_KILLED:.0f} %"
        )
    for key in reasons:
        if key not in existing:
            faults.append(f"survivors.yaml has a reason for a mutant that no longer exists: {key}")
        elif killed.get(key):
            faults.append(f"survivors.yaml has a reason for a mutant that is killed: {key}")
    return faults


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--draw", type=int, default=300, help="how many mutants")
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--only", default="", help="those whose key has these words")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no mutant after so many")
    return parser


def draw(count: int, seed: int) -> list[Mutant]:
    """The same for the same sources, module after module."""
    mutants = [mutant for module in TARGETS for mutant in mutants_of(module, source_of(module))]
    smallest = sorted(mutants, key=lambda mutant: hashlib.sha256(f"{seed} {mutant.key}".encode()).digest())[:count]
    kept = {mutant.key for mutant in smallest}
    return [mutant for mutant in mutants if mutant.key in kept]


def source_of(module: str) -> str:
    """The module's text, read without importing it."""
    return (ROOT / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")


def load_reasons() -> dict[str, str]:
    """Why a survivor is no fault, by its key."""
    return yaml.safe_load(REASONS.read_text(encoding="utf-8")) or {} if REASONS.exists() else {}


def _run_all(mutants: Sequence[Mutant], seconds: float) -> list[MutantResult]:
    end = time.monotonic() + seconds
    results: list[MutantResult] = []
    for module, arguments in TARGETS.items():
        due = [mutant for mutant in mutants if mutant.module == module]
        if not due or time.monotonic() > end:
            continue
        passed, took = _tests(arguments, None, 100)
        if not passed:
            raise SystemExit(f"the tests of {module} fail without any mutant: pytest {' '.join(arguments)}")
        _say(f"{module}: {len(due)} mutants, whose tests take {took:.1f} s of CPU time")
        for mutant in due:
            if time.monotonic() > end:
                break
            passed, spent = _tests(arguments, mutant, 3 + 5 * took)
            results.append(MutantResult(mutant, not passed, spent))
            _say(f"  {'SURVIVED' if passed else 'killed  '} {spent:5.1f} s  {mutant.line:4d}  {mutant.key}")
    return results


def _tests(arguments: Sequence[str], mutant: Mutant | None, limit_s: float) -> tuple[bool, float]:
    """Whether the tests pass in a fork of this process, within so many CPU seconds and twenty times as long in all."""
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _in_child(arguments, mutant, int(limit_s) + 1)
    while True:
        ended, status, used = os.wait4(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            assert code != NOT_READ, f"the tests do not import {mutant}"
            passed = code == 0
            break
        if time.monotonic() - began > 20 * limit_s:
            passed = False
            break
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # also what a test left running
    if not ended:
        _, _, used = os.wait4(child, 0)
    return passed, used.ru_utime + used.ru_stime


def _in_child(arguments: Sequence[str], mutant: Mutant | None, cpu_s: int) -> None:
    code = 1
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_GIB << 30, MEMORY_GIB << 30))
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
        planted = None
        if mutant is not None:
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 1)
            os.dup2(silent, 2)
            planted = _plant(mutant)
        import pytest

        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--assert=plain", "--timeout=0"]
        code = int(pytest.main([*options, *arguments]))
        if planted == []:
            code = NOT_READ
    except Exception:  # noqa: BLE001 - whatever a mutant raises counts as noticed
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _plant(mutant: Mutant) -> list[str]:
    """Let every loader read the faulty text, also one that checks shapes; the list tells whether one has done so."""
    file, planted = str((ROOT / mutant.module.replace(".", "/")).with_suffix(".py")), []
    loader = importlib.machinery.SourceFileLoader
    get_data, path_stats = loader.get_data, loader.path_stats

    def faulty(self: importlib.machinery.SourceFileLoader, path: str) -> bytes:
        data = get_data(self, path)
        if os.path.realpath(path) != file:
            return data
        planted.append(path)
        return mutant.applied(data.decode()).encode()

    def without_cache(self: importlib.machinery.SourceFileLoader, path: str) -> Mapping[str, float]:
        if os.path.realpath(path) == file:
            raise OSError("no compiled form of a mutant")  # the import system then reads the text and keeps nothing
        return path_stats(self, path)

    loader.get_data, loader.path_stats = faulty, without_cache  # type: ignore[method-assign]
    return planted


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
