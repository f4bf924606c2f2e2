"""Commands of `uniferum run`: train or evaluate one run on this machine, without Ray."""

import signal
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output, weights
from cli.examples import examples
from uniferum.errors import UniferumError
from uniferum.training.reporter import Reporter

if TYPE_CHECKING:
    from uniferum.run import RunConfig, RunResult

app = typer.Typer(no_args_is_help=True)

TRAIN = examples(
    "uniferum run train run.yaml --stores CTRATE=/stores/CTRATE",
    "uniferum run train run.yaml --stores CTRATE=/stores/CTRATE,LUNA16=/stores/LUNA16 --set seed=1 --dry-run",
    more="The same command continues an interrupted run. Under torchrun the workers share the run. "
    "Exit code: 0 done, 2 bad input, 130 after Ctrl-C, 143 after SIGTERM.",
)
EVALUATE = examples(
    "uniferum run evaluate runs/mine/config.yaml --stores CTRATE=/stores/CTRATE --folder runs/mine",
    "uniferum run evaluate runs/mine/config.yaml --stores CTRATE=/stores/CTRATE --folder runs/mine "
    "--set evaluation.labels.CTRATE.refined=refined.csv --set evaluation.augmentations=4",
)

Config = Annotated[Path, typer.Argument(help="The run's YAML file, or the config.yaml of a finished run.")]
StorePaths = Annotated[
    str, typer.Option("--stores", help="The prepared store of each cohort: CTRATE=path,LUNA16=path.")
]
Folder = Annotated[Path | None, typer.Option("--folder", help="The folder of the run; default: runs/NAME.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="key=value: replaces a value of the YAML file.")]
Device = Annotated[str | None, typer.Option(help="cuda or cpu; default: the first GPU if there is one.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be done; do nothing.")]


@app.callback(epilog=TRAIN)
def _run() -> None:
    """Train or evaluate one run, without Ray."""


@app.command(epilog=TRAIN)
def train(
    config: Config,
    stores: StorePaths,
    folder: Folder = None,
    settings: Overrides = None,
    resume: Annotated[bool, typer.Option(help="Continue from the last checkpoint in the folder.")] = True,
    device: Device = None,
    dry_run: DryRun = False,
    weights_dir: weights.WeightsDir = None,
) -> None:
    """Train a run and score it. Called again, it continues from the last checkpoint."""
    from uniferum.training.errors import Interrupted

    weights.use(weights_dir)
    run, paths, target = _read(config, stores, folder, settings)
    if dry_run:
        return _show_plan(run, paths, target, trains=True)
    stop = _Stop()
    try:
        _train(run, paths, target, stop, resume=resume, device=device)
    except Interrupted as error:
        output.say(f"{error}; run the same command again to continue")
        raise typer.Exit(stop.exit_code) from None


def _train(
    run: "RunConfig", stores: dict[str, str], folder: Path, stop: "_Stop", *, resume: bool, device: str | None
) -> None:
    from uniferum.run import train_run
    from uniferum.training.parallel import joined_workers
    from uniferum.training.precision import choose_compute

    compute = choose_compute(run.training.precision, device, tf32=run.training.tf32)
    with joined_workers() as workers:
        reporter = _Terminal(run.training.steps, compute.reason) if workers.first else None
        result = train_run(run, stores, folder, reporter, stop=stop, resume=resume, device=device)
    if workers.first:
        _show(result)


@app.command(epilog=EVALUATE)
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
    run, paths, target = _read(config, stores, folder, settings)
    if dry_run:
        return _show_plan(run, paths, target)
    _show(evaluate_run(run, paths, target, device=device))


class _Terminal(Reporter):
    """Reporter of a run that prints losses and validations on the terminal."""

    def __init__(self, steps: int, computing: str) -> None:
        self.steps, self.computing = steps, computing

    def params(self, values: Mapping[str, Any]) -> None:
        """Print the name, the steps and the training cohorts of the run."""
        output.say(f"run {values['name']}: {self.steps} steps on {', '.join(values['train_on'])}, in {self.computing}")

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Print every validation, and the loss about twenty times in a run."""
        every = max(1, self.steps // 20)
        if "loss" not in values or step % every == 0 or step == self.steps:
            shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items() if name != "rows")
            output.say(f"step {step}/{self.steps}: {shown}")

    def artifact(self, path: Path) -> None:
        """Print the path of a written file."""
        output.say(f"wrote {path}")


def _read(
    config: Path, stores: str, folder: Path | None, settings: list[str] | None
) -> "tuple[RunConfig, dict[str, str], Path]":
    from uniferum.config import load
    from uniferum.run import RunConfig

    run = load(RunConfig, config, settings or ())
    return run, _store_paths(stores), folder or Path("runs") / run.name


def _store_paths(text: str) -> dict[str, str]:
    paths: dict[str, str] = {}
    for part in text.split(","):
        cohort, equals, path = part.strip().partition("=")
        if not equals or not cohort or not path:
            raise UniferumError("--stores", part, must="look like COHORT=path", cure="separate several by commas")
        paths[cohort] = path
    return paths


def _show_plan(run: "RunConfig", stores: dict[str, str], folder: Path, *, trains: bool = False) -> None:
    from uniferum.run.config import resolved_yaml
    from uniferum.run.identity import Reading
    from uniferum.run.rows import planned_lines, refuse_run

    reading = Reading(stores)
    fingerprints = reading.fingerprints(run)
    output.result(resolved_yaml(run))
    output.say_all(reading.left_out(run))
    output.say_all(planned_lines(reading, run))
    output.say(f"training fingerprint {fingerprints.training}")
    output.say(f"evaluation fingerprint {fingerprints.evaluation}")
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
    output.Summary().table(f"{result.record['name']}: means over labels, test split", columns, rows)
    output.result(str(result.folder / "result.json"))


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.4f}"


class _Stop:
    """Stop training after the current step, with a checkpoint, on SIGTERM (preemption) or Ctrl-C.

    A second Ctrl-C stops at once. A second SIGTERM is ignored, because batch system and torchrun each send one.
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
