"""Commands of `uniferum run`: train or evaluate one run on this machine, without Ray."""

import signal
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output, weights
from uniferum.errors import UniferumError
from uniferum.training.reporter import Reporter

if TYPE_CHECKING:
    from uniferum.run import RunConfig, RunResult

app = typer.Typer(no_args_is_help=True)

Config = Annotated[Path, typer.Argument(help="The run's YAML file; a finished run's own config.yaml will do.")]
StorePaths = Annotated[str, typer.Option("--stores", help="CTRATE=path,LUNA16=path: the prepared store of a cohort.")]
Folder = Annotated[Path | None, typer.Option("--folder", help="Where the run is written; runs/NAME by default.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="key=value laid over the YAML.")]
Device = Annotated[str | None, typer.Option(help="cuda, cpu; the first GPU where there is one.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and do nothing.")]


@app.command()
def train(
    config: Config,
    stores: StorePaths,
    folder: Folder = None,
    settings: Overrides = None,
    resume: Annotated[bool, typer.Option(help="Go on from the folder's last checkpoint.")] = True,
    device: Device = None,
    dry_run: DryRun = False,
    weights_dir: weights.WeightsDir = None,
) -> None:
    """Train a run and score it; called again, it goes on from where it stopped. Under torchrun, workers share it."""
    from uniferum.run import train_run
    from uniferum.training.errors import Interrupted
    from uniferum.training.parallel import joined_workers
    from uniferum.training.precision import choose_compute

    weights.use(weights_dir)
    run, paths, place = _read(config, stores, folder, settings)
    if dry_run:
        return _show_plan(run, paths, place, trains=True)
    stop, compute = _Stop(), choose_compute(run.training.precision, device, tf32=run.training.tf32)
    try:
        with joined_workers() as workers:
            listener = _Terminal(run.training.steps, compute.reason) if workers.first else None
            result = train_run(run, paths, place, listener, stop=stop, resume=resume, device=device)
    except Interrupted as error:
        output.say(f"{error}; the same command goes on from there")
        raise typer.Exit(stop.exit_code) from None
    if workers.first:
        _show(result)


@app.command()
def evaluate(
    config: Config,
    stores: StorePaths,
    folder: Folder = None,
    settings: Overrides = None,
    device: Device = None,
    dry_run: DryRun = False,
    weights_dir: weights.WeightsDir = None,
) -> None:
    """Predict the test splits with the best weights and score them again; nothing is trained."""
    from uniferum.run import evaluate_run

    weights.use(weights_dir)
    run, paths, place = _read(config, stores, folder, settings)
    if dry_run:
        return _show_plan(run, paths, place)
    _show(evaluate_run(run, paths, place, device=device))


class _Terminal(Reporter):
    """A line a validation for the person at the terminal."""

    def __init__(self, steps: int, computing: str) -> None:
        self.steps, self.computing = steps, computing

    def params(self, values: Mapping[str, Any]) -> None:
        """Name the run."""
        output.say(f"run {values['name']}: {self.steps} steps on {', '.join(values['train_on'])}, in {self.computing}")

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Print losses rarely, validations always."""
        every = max(1, self.steps // 20)
        if "loss" not in values or step % every == 0 or step == self.steps:
            shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items() if name != "rows")
            output.say(f"step {step}/{self.steps}: {shown}")

    def artifact(self, path: Path) -> None:
        """Name the file."""
        output.say(f"wrote {path}")


def _read(
    config: Path, stores: str, folder: Path | None, settings: list[str] | None
) -> "tuple[RunConfig, dict[str, str], Path]":
    from uniferum.config import load
    from uniferum.run import RunConfig

    run = load(RunConfig, config, settings or ())
    return run, _store_paths(stores), folder or Path("runs") / run.name


def _store_paths(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in text.split(","):
        cohort, equals, path = part.strip().partition("=")
        if not equals or not cohort or not path:
            raise UniferumError("--stores", part, must="look like COHORT=path", cure="separate several by commas")
        found[cohort] = path
    return found


def _show_plan(run: "RunConfig", stores: dict[str, str], folder: Path, *, trains: bool = False) -> None:
    from uniferum.run.config import resolved_yaml
    from uniferum.run.identity import Reading
    from uniferum.run.rows import planned_lines, refuse_run

    reading = Reading(stores)
    found = reading.fingerprints(run)
    output.result(resolved_yaml(run))
    for line in reading.left_out(run):
        output.say(line)
    for line in planned_lines(reading, run):
        output.say(line)
    output.say(f"training fingerprint {found.training}")
    output.say(f"evaluation fingerprint {found.evaluation}")
    output.say(f"folder {folder}; nothing was done")
    refuse_run(reading, run, only_scores=not trains)


def _show(result: "RunResult") -> None:
    columns = ("cohort", "group", "metric", "value", "95 % interval", "labels")
    rows = [
        (
            group["cohort"],
            group["group"],
            group["metric"],
            _number(group["value"]),
            f"{_number(group['lo'])} to {_number(group['hi'])}",
            f"{group['n_labels']} of {group['n_labels_total']}",
        )
        for group in result.record["groups"]
    ]
    output.table(f"{result.record['name']}: means over labels, test split", columns, rows)
    output.result(str(result.folder / "result.json"))


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.4f}"


class _Stop:
    """A preempted node (SIGTERM) or a person (Ctrl-C) lets the step end and the checkpoint be written.

    A second Ctrl-C leaves at once. A second SIGTERM changes nothing: batch system and torchrun each send one.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def __call__(self) -> bool:
        return self.asked is not None

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + (self.asked or signal.SIGTERM)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = self.asked or number
        if number == signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)
