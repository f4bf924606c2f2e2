"""Command `uniferum data label-reports`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from uniferum.errors import UniferumError

if TYPE_CHECKING:
    from uniferum.data.cohorts.base import HasReports
    from uniferum.data.report_labels.keywords import Chosen, LabelQuestion, Report
    from uniferum.data.report_labels.labelling import Judged, Kept
    from uniferum.data.report_labels.llm import EndpointConfig


EXAMPLES = """
**Examples**

`uniferum data label-reports configs/cohorts/inspect.yaml --root /data/INSPECT/full --out report_labels.csv` judges by
offline rules; nothing leaves this machine.

`uniferum data label-reports ... --endpoint http://127.0.0.1:8000/v1 --ask model=my-model --dry-run` counts the
questions to a language model, and their cost.

Then set `report_labels: report_labels.csv` in the cohort's YAML. Stopped, the same command asks only what is left.
"""


def register(app: typer.Typer) -> None:
    """Add the command to `uniferum data`."""
    app.command("label-reports", epilog=EXAMPLES)(label_reports)


def label_reports(
    config: Annotated[Path, typer.Argument(help="The cohort's YAML file (INSPECT or CT-RATE).")],
    out: Annotated[Path, typer.Option("--out", help="The table to write: id,label,value.")],
    root: Annotated[Path | None, typer.Option("--root", help="The dataset's folder.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="key=value laid over the cohort's YAML.")] = None,
    seed: Annotated[int, typer.Option(help="Of the reports drawn as potential negatives.")] = 0,
    endpoint: Annotated[
        str | None, typer.Option(help="Base address of an OpenAI-compatible endpoint; default: offline rules.")
    ] = None,
    asking: Annotated[
        list[str] | None, typer.Option("--ask", help="key=value of the endpoint: model, key_env, price_in, parallel...")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Answers kept by content; default: beside the table.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before spending.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the questions and their cost, and stop.")] = False,
    check: Annotated[Path | None, typer.Option(help="A hand-labelled table to print the agreement with.")] = None,
    review: Annotated[Path | None, typer.Option(help="Write a blank table for a radiologist, 10 a label.")] = None,
) -> None:
    """Label reports: keywords find candidates, as many others are drawn, rules or a language model judge them."""
    from uniferum.data.report_labels.keywords import choose
    from uniferum.data.report_labels.labelling import by_rules, write_labels, write_review

    cohort = _cohort(config, settings or [], root)
    chosen = choose(_reports(cohort), cohort.report_labels, seed)
    labels = len(cohort.report_labels)
    output.say(f"{labels} labels, {chosen.count()} questions: all reports with a keyword, as many without")
    if review is not None:
        output.say(f"{review}: {write_review(review, cohort.report_id, chosen, 10, seed)} lines to fill in")
    if dry_run and endpoint is None:
        return
    made_by: dict[str, object] = {"labeller": "rules", "seed": seed, "questions": chosen.count()}
    if endpoint is None:
        summary = write_labels(out, cohort.report_id, by_rules(_questions(cohort, chosen)), made_by=made_by)
    else:
        where = _endpoint(endpoint, asking or [])
        with _kept(cache or out.with_suffix(".answers.sqlite")) as kept:
            if not _agreed(cohort, chosen, where, kept, yes=yes, dry_run=dry_run):
                return
            made_by |= {"labeller": "language model", "model": where.model}
            judged = _by_model(cohort, chosen, where, kept)
            summary = write_labels(out, cohort.report_id, judged, made_by=made_by)
    output.table(f"{out}", ("label", "positive", "negative", "unknown"), summary.rows())
    if check is not None:
        _print_agreement(out, check, cohort.report_id)


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


def _kept(path: Path) -> "Kept":
    from uniferum.data.report_labels.labelling import Kept

    return Kept(path)


def _agreed(
    cohort: "HasReports", chosen: "Chosen", where: "EndpointConfig", kept: "Kept", *, yes: bool, dry_run: bool
) -> bool:
    """Print the cost before anything is sent, and ask."""
    from uniferum.data.report_labels.labelling import planned

    output.say(f"{where.endpoint}, {where.model}: {planned(_questions(cohort, chosen), where, kept).sentence()}")
    if dry_run:
        return False
    return yes or typer.confirm("The reports leave this machine towards that address. Ask?", err=True)


def _by_model(cohort: "HasReports", chosen: "Chosen", where: "EndpointConfig", kept: "Kept") -> "Iterator[Judged]":
    from uniferum.data.report_labels.labelling import by_model

    with output.progress() as bar:
        task = bar.add_task("reports judged", total=chosen.count())
        yield from by_model(_questions(cohort, chosen), where, kept, lambda count: bar.advance(task, count))


def _print_agreement(made: Path, by_hand: Path, id_column: str) -> None:
    from uniferum.data.report_labels.agreement import agreement, read_values

    found = agreement(read_values(made, id_column), read_values(by_hand, id_column))
    rows = [
        [
            a.label,
            f"{a.right} / {a.n}",
            "n/a" if a.accuracy is None else f"{a.accuracy:.3f}",
            "n/a" if a.kappa is None else f"{a.kappa:.3f}",
            a.unknown,
        ]
        for a in found
    ]
    output.table("agreement with the hand-labelled table", ("label", "right", "accuracy", "kappa", "unknown"), rows)
