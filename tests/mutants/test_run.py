"""The judgement of a run of the mutants, on made-up results."""

import subprocess
from pathlib import Path

import pytest

from tests.mutants import run
from tests.mutants.operators import Mutant
from tests.mutants.run import MutantResult, judge

REASONS = {"harmless": "it changes no behaviour"}
KILLED = {f"killed {number}": True for number in range(27)}


def survived(*keys: str) -> dict[str, bool]:
    return {**KILLED, **dict.fromkeys(keys, False)}


def test_nine_tenths_killed_and_a_reason_for_every_survivor_is_no_fault() -> None:
    killed = survived("harmless")
    assert judge(killed, REASONS, killed) == []


def test_a_survivor_without_a_reason_is_a_fault_also_above_nine_tenths() -> None:
    killed = survived("harmless", "new")
    assert judge(killed, REASONS, killed) == ["survived without a reason in survivors.yaml: new"]


@pytest.mark.parametrize(("survivors", "low"), [(3, False), (4, True)])
def test_fewer_than_nine_tenths_killed_is_a_fault(survivors: int, low: bool) -> None:
    names = [f"new {number}" for number in range(survivors)]
    killed = survived("harmless", *names)
    shares = [fault for fault in judge(killed, REASONS, killed) if "%" in fault]
    assert shares == (["87.1 % of 31 mutants were killed, fewer than 90 %"] if low else [])


def test_survivors_with_a_reason_count_as_neither_killed_nor_survived() -> None:
    reasons = {f"harmless {number}": "no behaviour" for number in range(100)}
    killed = survived(*reasons)
    assert judge(killed, reasons, killed) == []


def test_a_run_without_any_mutant_is_a_fault() -> None:
    assert judge({}, {}, []) == ["0.0 % of 0 mutants were killed, fewer than 90 %"]


def test_a_reason_for_a_mutant_that_is_killed_or_no_longer_exists_is_a_fault() -> None:
    reasons = {"killed 3": "once it survived", "gone": "its line was removed", "not run": "outside of --only"}
    assert judge(KILLED, reasons, {*KILLED, "not run"}) == [
        "survivors.yaml has a reason for a mutant that is killed: killed 3",
        "survivors.yaml has a reason for a mutant that no longer exists: gone",
    ]


@pytest.mark.parametrize(("kill", "status"), [(True, 0), (False, 1)])
def test_the_exit_status_of_the_program_is_that_of_the_judgement(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kill: bool, status: int
) -> None:
    reasons = run.load_reasons()

    def results(mutants: list[Mutant], seconds: float) -> list[MutantResult]:
        return [MutantResult(mutant, kill and mutant.key not in reasons, 0.1) for mutant in mutants]

    monkeypatch.setattr(run, "_run_all", results)
    monkeypatch.setattr(run, "PACKAGES", ())
    monkeypatch.chdir(run.ROOT)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    assert run.main(["--draw", "40"]) == status
    said = capsys.readouterr().out
    assert all(key in said for key in reasons), "survivors with a reason are run whether drawn or not"
    assert ("survived without a reason" in said) == (not kill)


def test_make_passes_the_exit_status_on() -> None:
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(["make", "--dry-run", "--always-make", "mutants"], cwd=root, capture_output=True, text=True)
    (line,) = [line for line in done.stdout.splitlines() if "tests.mutants.run" in line]
    assert line == ".venv/bin/python -m tests.mutants.run", "nothing behind it hides its status"
