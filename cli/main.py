"""The `uniferum` command; each group of sub-commands is in its own module.

An error in the user's input ends with one line and exit code 2 (``--debug`` shows the traceback), Ctrl-C with 130.
Heavy libraries are imported inside the commands, so that ``--help`` is fast. Results go to standard output, messages to
standard error.
"""

import os
import sys
from typing import Annotated

import typer

import uniferum
from cli import checkpoints, data, grid, infra, output, predict, report, run, tune, weights
from cli.examples import examples
from uniferum.errors import UniferumError

GRID_PACKAGES = frozenset({"aiohttp", "filelock", "mlflow", "optuna", "psutil", "ray", "sqlalchemy"})
"""Packages of the extra `grid`; every command that trains, evaluates or predicts one run works without them."""

app = typer.Typer(
    name="uniferum",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Train, evaluate and report the models of 'Unified Supervision for Vision-Language Modeling in 3D Computed "
    "Tomography', on the paper's datasets or your own.",
    epilog=examples(
        "uniferum data demo configs/demo_data.yaml",
        "uniferum grid run configs/demo_grid.yaml",
        "uniferum report --grid configs/demo_grid.yaml --table auroc",
    ),
)
app.add_typer(data.app, name="data", help="Write phantoms, read cohorts, prepare and verify stores.")
app.add_typer(grid.app, name="grid", help="Plan, run, watch and steer a grid of cells.")
app.add_typer(infra.app, name="infra", help="Generate the files that start a grid on a cluster.")
app.add_typer(run.app, name="run", help="Train or evaluate one run, without Ray.")
app.add_typer(weights.app, name="weights", help="Check pretrained weights before a grid starts.")
report.register(app)
predict.register(app)
checkpoints.register(app)
tune.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        output.result(uniferum.__version__)
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if debug:
        os.environ["UNIFERUM_DEBUG"] = "1"


def main() -> None:
    """Run the command line. Exit code: 0, 1 (some work failed), 2 (bad input) or 130 (interrupted)."""
    try:
        app()
    except UniferumError as error:
        if os.environ.get("UNIFERUM_DEBUG"):
            raise
        output.fail(str(error))
        sys.exit(2)
    except BrokenPipeError:  # the reader closed the pipe, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (
        OSError,
        ModuleNotFoundError,
    ) as error:  # a full disk, a missing extra: the user's machine, no fault of ours
        fault = _fault_of_the_system(error) if isinstance(error, OSError) else _missing_extra(error)
        if os.environ.get("UNIFERUM_DEBUG") or fault is None:
            raise
        output.fail(fault)
        sys.exit(2)
    except SystemExit as end:
        if isinstance(getattr(end.__context__, "__cause__", None), KeyboardInterrupt):  # Typer: exit code 130
            output.fail("interrupted; run the same command again to continue")
        raise


def _missing_extra(error: ModuleNotFoundError) -> str | None:
    package = (error.name or "").partition(".")[0]
    if package not in GRID_PACKAGES:
        return None
    return f"{package} is not installed; the extra 'grid' has it: pip install --editable '.[grid]'"


def _fault_of_the_system(error: OSError) -> str | None:
    if error.errno is None:
        return None
    where = error.filename or getattr(error, "filename2", None)
    named = f"{os.fsdecode(where)}: " if isinstance(where, (str, bytes, os.PathLike)) else ""
    return f"{named}{os.strerror(error.errno or 0)}; `uniferum --debug ...` shows where it happened"


if __name__ == "__main__":
    main()
