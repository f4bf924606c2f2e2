"""Command `uniferum data label-reports`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.examples import examples
from uniferum.errors import UniferumError

if TYPE_CHECKING:
    from uniferum.data.cohorts.base import HasReports
    from uniferum.data.report_labels.keywords import Chosen, LabelQuestion, Report
    from uniferum.data.report_labels.labelling import Judged, Kept
    from uniferum.data.report_labels.llm import EndpointConfig

LABEL_COLUMNS = ("label", "positive", "negative", "unknown")

EXAMPLES = examples(
    "uniferum data label-reports configs/cohorts/inspect.yaml --root /data/INSPECT/full --out report_labels.csv",
    "uniferum data label-reports configs/cohorts/inspect.yaml --out report_labels.csv --dry-run "
    "--endpoint http://127.0.0.1:8000/v1 --ask model=my-model",
    more="Without --endpoint offline rules judge the reports; nothing leaves this machine. With --endpoint a language "
    "model judges them; the number of questions and their cost are printed first.\n\n"
    "Then set `report_labels: report_labels.csv` in the cohort's YAML file. The same command continues after an "
    "interruption.",
)


def register(app: typer.Typer) -> None:
    """Add the command to `uniferum data`."""
    app.command("label-reports", epilog=EXAMPLES)(label_reports)


def label_reports(
    config: Annotated[Path, typer.Argument(help="The cohort's YAML file (INSPECT or CT-RATE).")],
    out: Annotated[Path, typer.Option("--out", help="The table to write: id,label,value.")],
    root: Annotated[Path | None, typer.Option("--root", help="The dataset's folder.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value: replaces a value of the cohort's YAML file.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed for drawing reports without a keyword.")] = 0,
    endpoint: Annotated[
        str | None, typer.Option(help="Base address of an OpenAI-compatible endpoint; default: offline rules.")
    ] = None,
    asking: Annotated[
        list[str] | None, typer.Option("--ask", help="key=value of the endpoint: model, key_env, price_in, parallel...")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="SQLite file that stores the answers; default: next to the table.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before reports are sent to the endpoint.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count the questions and their cost; write nothing.")
    ] = False,
    check: Annotated[Path | None, typer.Option(help="A table labelled by hand: print the agreement with it.")] = None,
    review: Annotated[
        Path | None, typer.Option(help="Write an empty table for a radiologist to fill in, 10 reports for each label.")
    ] = None,
) -> None:
    """Label radiology reports, by offline rules or a language model.

    Judged are all reports that contain a keyword of the label, and as many random reports without one.
    """
    from uniferum.data.report_labels.keywords import choose

    cohort = _cohort(config, settings or [], root)
    chosen = choose(_reports(cohort), cohort.report_labels, seed)
    _say_chosen(cohort, chosen, review, seed, output.Summary(is_result=dry_run))
    if endpoint is not None:
        asked = Asking(_endpoint(endpoint, asking or []), cache or out.with_suffix(".answers.sqlite"), yes, dry_run)
        written = _label_by_model(cohort, chosen, asked, out, seed)
    else:
        written = not dry_run and _label_by_rules(cohort, chosen, out, seed)
    if written and check is not None:
        _print_agreement(out, check, cohort.report_id)


@dataclass(frozen=True)
class Asking:
    """How a language model is asked: its endpoint, the file of answers, and whether to ask the user first."""

    endpoint: "EndpointConfig"
    cache: Path
    yes: bool
    dry_run: bool


def _say_chosen(
    cohort: "HasReports", chosen: "Chosen", review: Path | None, seed: int, printed: output.Summary
) -> None:
    """Say how many questions there are, and write the table for a radiologist."""
    from uniferum.data.report_labels.labelling import write_review

    labels = len(cohort.report_labels)
    printed.line(f"{labels} labels, {chosen.count()} questions: all reports with a keyword, and as many without")
    if review is not None:
        output.result(f"{review}: {write_review(review, cohort.report_id, chosen, 10, seed)} lines to fill in")


def _label_by_rules(cohort: "HasReports", chosen: "Chosen", out: Path, seed: int) -> bool:
    from uniferum.data.report_labels.labelling import by_rules, write_labels

    made_by: dict[str, object] = {"labeller": "rules", "seed": seed, "questions": chosen.count()}
    summary = write_labels(out, cohort.report_id, by_rules(_questions(cohort, chosen)), made_by=made_by)
    output.Summary().table(f"{out}", LABEL_COLUMNS, summary.rows())
    return True


def _label_by_model(cohort: "HasReports", chosen: "Chosen", asked: Asking, out: Path, seed: int) -> bool:
    """Write the table of labels; False if nothing was asked."""
    from uniferum.data.report_labels.labelling import Kept, write_labels

    made_by: dict[str, object] = {
        **{"labeller": "language model", "seed": seed, "questions": chosen.count()},
        "model": asked.endpoint.model,
    }
    with Kept(asked.cache) as kept:
        if not _agreed(cohort, chosen, asked, kept):
            return False
        judged = _by_model(cohort, chosen, asked.endpoint, kept)
        summary = write_labels(out, cohort.report_id, judged, made_by=made_by)
    output.Summary().table(f"{out}", LABEL_COLUMNS, summary.rows())
    return True


def _cohort(config: Path, settings: list[str], root: Path | None) -> "HasReports":
    from uniferum.data.cohorts.base import HasReports, open_cohort

    cohort = open_cohort(config, settings, root=root)
    if not isinstance(cohort, HasReports):
        raise UniferumError(
            str(config), cohort.name, must="be a cohort with reports", cure="INSPECT and CTRATE have them"
        )
    return cohort


def _reports(cohort: "HasReports") -> "Iterator[Report]":
    from uniferum.data.report_labels.keywords import Report

    return (Report(report_id, text) for report_id, text in cohort.reports())


def _questions(cohort: "HasReports", chosen: "Chosen") -> "Iterator[LabelQuestion]":
    from uniferum.data.report_labels.keywords import questions

    return questions(_reports(cohort), chosen)


def _endpoint(address: str, settings: list[str]) -> "EndpointConfig":
    from uniferum.config import override, parse
    from uniferum.data.report_labels.llm import EndpointConfig

    return parse(EndpointConfig, {**override({}, settings), "endpoint": address}, source="--ask")


def _agreed(cohort: "HasReports", chosen: "Chosen", asked: Asking, kept: "Kept") -> bool:
    """Print the cost, and ask the user before anything is sent."""
    from uniferum.data.report_labels.labelling import planned

    where = asked.endpoint
    cost = planned(_questions(cohort, chosen), where, kept).sentence()
    output.Summary(is_result=asked.dry_run).line(f"{where.endpoint}, {where.model}: {cost}")
    if asked.dry_run:
        return False
    return asked.yes or typer.confirm("The reports will be sent to this address. Continue?", err=True)


def _by_model(cohort: "HasReports", chosen: "Chosen", where: "EndpointConfig", kept: "Kept") -> "Iterator[Judged]":
    from uniferum.data.report_labels.labelling import by_model

    with output.progress() as bar:
        task = bar.add_task("reports judged", total=chosen.count())
        yield from by_model(_questions(cohort, chosen), where, kept, lambda count: bar.advance(task, count))


def _print_agreement(made: Path, by_hand: Path, id_column: str) -> None:
    from uniferum.data.report_labels.agreement import agreement, read_values

    agreed = agreement(read_values(made, id_column), read_values(by_hand, id_column))
    rows = [
        [
            a.label,
            f"{a.right} / {a.n}",
            "n/a" if a.accuracy is None else f"{a.accuracy:.3f}",
            "n/a" if a.kappa is None else f"{a.kappa:.3f}",
            a.unknown,
        ]
        for a in agreed
    ]
    output.Summary().table(
        "agreement with the table labelled by hand", ("label", "right", "accuracy", "kappa", "unknown"), rows
    )
