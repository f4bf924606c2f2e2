"""The generated batch scripts, run by bash: the head node, the options of each step, the handling of signals.

Ray, the driver and the commands of SLURM and LSF are stand-ins that log their arguments;
`tests/integration/test_batch_script.py` runs the SLURM script over real raylets.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestration.infra.settings import InfraSettings
from tests.support.infra_files import write
from tests.support.small_grids import grid
from uniferum.config import parse

HOSTS = ("node9", "node1", "node5")  # the batch system's order: the script runs on the first
NOTE = '#!/bin/bash\necho "${0##*/} $*" >> "$CALLS"\n'
# After the first signal it takes a while, as for checkpoints; a second one ends it at once.
DRIVER = r"""#!/bin/bash
stop() {
  echo stopping >> "$CALLS"
  trap "exit 99" TERM
  for _ in $(seq 15); do sleep 0.1; done
  exit 130
}
trap stop TERM
echo "uniferum $*" >> "$CALLS"
echo driving >> "$CALLS"
for _ in $(seq 200); do
  sleep 0.05
  [ -e "$CALLS.end" ] && exit "$(cat "$CALLS.end")"
done
exit 98
"""
STAND_INS = {
    "scontrol": NOTE + f'if [ "$1" = show ]; then printf "%s\\n" {" ".join(HOSTS)}; fi\n',
    "srun": NOTE + 'while [[ "$1" == --* ]]; do shift; done\nexec "$@"\n',
    "blaunch": NOTE + 'shift 2\nexec "$@"\n',
    "brequeue": NOTE,
    "ray": NOTE + 'if [ "$1" = start ]; then exec sleep 60; else echo token; fi\n',
    "uniferum": DRIVER,
}


class RunningScript:
    """A running script of three nodes."""

    def __init__(self, folder: Path, name: str) -> None:
        project, self.calls = folder / "project", folder / "calls"
        words = project / ".venv" / "bin"  # first on the script's PATH
        words.mkdir(parents=True)
        for word, text in STAND_INS.items():
            (words / word).write_text(text)
            (words / word).chmod(0o755)
        (project / "grid.yaml").write_text(grid(folder).model_dump_json(exclude_none=True))
        keys = {"project": str(project), "storage": str(folder), "grid": "grid.yaml"}
        machine = {"nodes": 3, "cpus": 5, "gpus": 0}
        write(parse(InfraSettings, {**keys, "machine": machine}, source="test"), project, folder)
        (folder / "hosts").write_text("".join(f"{host}\n" * 5 for host in HOSTS))
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SLURM_"))},
            "PATH": f"{words}:{os.environ['PATH']}",
            "CALLS": str(self.calls),
            "SLURM_JOB_NODELIST": "node[1,5,9]",
            "SLURM_JOB_ID": "7",
            "LSB_DJOB_HOSTFILE": str(folder / "hosts"),
            "LSB_JOBID": "7",
        }
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["bash", str(folder / name)], env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def lines(self, word: str) -> list[str]:
        """Logged calls of one stand-in."""
        noted = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [line for line in noted if line.split()[0] == word]

    def until(self, word: str) -> None:
        """Wait for the first call of a stand-in."""
        end = time.monotonic() + 30
        while not self.lines(word):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)

    def ends(self, code: int) -> int:
        """Let the driver end with ``code``; return the script's exit code."""
        whole = self.calls.with_name("code")
        whole.write_text(str(code))
        whole.rename(self.calls.with_name("calls.end"))
        return self.process.wait(timeout=30)


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Callable[[str], RunningScript]]:
    """Start scripts; kill them at the end of the test."""
    started: list[RunningScript] = []

    def start(name: str) -> RunningScript:
        started.append(RunningScript(tmp_path, name))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            os.killpg(one.process.pid, signal.SIGKILL)
            one.process.wait()


@pytest.mark.parametrize(
    ("name", "step"), [("uniferum.slurm.sh", "srun"), ("uniferum.lsf.sh", "blaunch")], ids=["slurm", "lsf"]
)
def test_the_head_is_the_node_of_the_script_and_each_other_node_joins_it_once(
    job: Callable[[str], RunningScript], name: str, step: str
) -> None:
    started = job(name)
    started.until("driving")
    assert started.ends(0) == 0, started.log.read_text()
    head, *workers = started.lines(step)
    assert "--head" in head
    assert f"--node-ip-address={HOSTS[0]}" in head
    assert HOSTS[0] in head.split("ray start")[0]
    assert sorted(host for line in workers for host in HOSTS[1:] if host in line.split("ray start")[0]) == [
        "node1",
        "node5",
    ]
    assert all(f"--address={HOSTS[0]}:20007" in line for line in workers)
    assert f"--address {HOSTS[0]}:20007" in started.lines("uniferum")[0]


def test_every_slurm_step_has_as_many_cpus_as_its_ray_node(job: Callable[[str], RunningScript]) -> None:
    started = job("uniferum.slurm.sh")
    started.until("driving")
    assert started.ends(0) == 0, started.log.read_text()
    steps = started.lines("srun")
    assert len(steps) == len(HOSTS)
    for line in steps:
        given, offered = line.split("ray start")
        assert "--cpus-per-task=5" in given
        assert "--num-cpus=5" in offered


@pytest.mark.parametrize(
    ("name", "again"),
    [("uniferum.slurm.sh", "scontrol requeue 7"), ("uniferum.lsf.sh", "brequeue 7")],
    ids=["slurm", "lsf"],
)
def test_more_signals_while_the_driver_stops_do_not_hurry_it_and_the_job_is_requeued(
    job: Callable[[str], RunningScript], name: str, again: str
) -> None:
    started = job(name)
    started.until("driving")
    started.process.send_signal(signal.SIGUSR1)
    started.until("stopping")
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGTERM):
        time.sleep(0.2)
        started.process.send_signal(number)
    assert started.process.wait(timeout=30) == 130, started.log.read_text()
    assert started.lines(again.split()[0])[-1] == again


def test_a_driver_that_fails_is_not_queued_again(job: Callable[[str], RunningScript]) -> None:
    started = job("uniferum.lsf.sh")
    started.until("driving")
    assert started.ends(1) == 1, started.log.read_text()
    assert not started.lines("brequeue")
