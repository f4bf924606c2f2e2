"""One attempt at a cell inside a worker process: what it is given, its log, its faults, its progress; needs no Ray."""

from orchestration.attempt.attempt import Attempt, AttemptResult
from orchestration.attempt.failures import Fault

__all__ = ["Attempt", "AttemptResult", "Fault"]
