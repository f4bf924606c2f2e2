"""Check the options of `uniferum report`: one that has no effect beside the others is an error, not silence."""

from collections.abc import Mapping

import typer

from uniferum.errors import UniferumError, near_miss

TESTS = ("--claims", "--compare", "--compare-encoders", "--encoder", "--vary", "--training-rows")
GROUP_TABLES = ("auroc", "aupr", "table2", "appendix4", "appendix5")
"""Tables of group means, which have no labels."""
NEEDS: dict[str, tuple[str, ...]] = {
    "--metric": ("--rows", "--vary"),
    "--columns": ("--rows",),
    "--base": ("--vary",),
    "--common": ("--claims", "--compare", "--compare-encoders", "--encoder", "--vary"),
    "--figure": ("--figures",),
    "--figure-format": ("--figures",),
    "--style": ("--figures",),
    "--montages": ("--figures",),
    "--with-volumes": ("--html",),
}
"""Options that have an effect only beside one of others."""
NEEDS_TABLE: dict[str, tuple[str, ...]] = {
    "--threshold": ("operating-points", "operating-points-labels"),
    "--probabilities": ("decision",),
    "--by": ("subgroups",),
    "--metadata": ("subgroups",),
    "--smallest": ("subgroups",),
}
"""Options that have an effect on some tables alone."""
BESIDE_TABLES = ("--published", "--intervals", "--protocol")
EXCLUDES: dict[str, tuple[str, ...]] = {
    "--rows": ("--table",),
    "--verdict": (*BESIDE_TABLES, *TESTS),
    "--against": (*BESIDE_TABLES, *TESTS),
    "--attainable": (
        *("--table", "--rows", "--cohort", "--group", "--label", *BESIDE_TABLES, "--verdict", "--against"),
        *("--unit", "--recompute", *TESTS),
    ),
    **{test: ("--table", "--rows", *BESIDE_TABLES) for test in TESTS},
}
"""Options beside which others have no effect."""
OF_NO_GUIDELINE = ("--published", "--protocol", "--verdict", "--against", "--recompute")
"""Options without effect if every table is one of reporting guidelines."""


def given_options(context: typer.Context) -> dict[str, object]:
    """The options on the command line with their values; none where a search or stores are reported, not cells."""
    if context.params["html"] is None and (context.params["search"] or context.params["data"]):
        return {}
    return {
        option.opts[0]: context.params[option.name]
        for option in context.command.params
        if option.name and getattr(context.get_parameter_source(option.name), "name", "") == "COMMANDLINE"
    }


def check_options(given: Mapping[str, object]) -> None:
    """Check that every option that is given has an effect.

    Args:
        given: options and their values; false, None or empty for those that are not given.

    Raises:
        UniferumError: an option has no effect beside another, or the metric is unknown.
    """
    used = {name for name, value in given.items() if value not in (None, False, [], "", 0)}
    for name in sorted(used):
        needed = NEEDS.get(name, ())
        if needed and not used & set(needed):
            raise UniferumError(name, must=f"stand beside {' or '.join(needed)}", cure="without it has no effect")
        idle = [other for other in EXCLUDES.get(name, ()) if other in used]
        if idle:
            raise UniferumError(idle[0], must=f"not stand beside {name}", cure=f"{name} takes its place")
    _check_tables(given)
    _check_metric(given)
    _check_label(given, used)
    _check_tests(given, used)
    _check_guidelines(given, used)
    _check_intervals(given, used)


def _check_tables(given: Mapping[str, object]) -> None:
    from uniferum.report.guidelines.catalogue import NAMES
    from uniferum.report.tables.catalogue import TABLES

    known = (*TABLES, *NAMES)
    for name in _tables(given):
        if name not in known:
            raise UniferumError("--table", name, must="be a known table", cure=near_miss(name, known))


def _check_tests(given: Mapping[str, object], used: set[str]) -> None:
    """Limits have an effect on the tests of ``--vary`` alone, and another scoring none on what is not scored."""
    tests = used & set(TESTS)
    idle = [option for option in ("--cohort", "--group", "--label") if option in used]
    if tests and idle and "--vary" not in tests:
        raise _idle(idle[0], min(tests))
    rescored = [name for name in ("--unit", "--recompute") if name in used and given[name] != "volume"]
    if rescored and tests == {"--training-rows"}:
        raise _idle(rescored[0], "--training-rows")
    if "--recompute" in rescored and tests and tests <= {"--compare", "--training-rows"}:
        raise _idle("--recompute", "--compare")


def _check_intervals(given: Mapping[str, object], used: set[str]) -> None:
    """Intervals are those of AUROC and average precision, and of most tables of reporting guidelines."""
    from uniferum.report.guidelines.catalogue import NAMES
    from uniferum.report.tables.catalogue import TABLES
    from uniferum.report.tables.pivot import GROUP_METRICS

    if "--intervals" not in used:
        return
    if "--rows" in used:
        if given.get("--metric", "auroc") not in GROUP_METRICS:
            raise _idle("--intervals", f"--metric {given['--metric']}")
        return
    with_intervals = {name for name, one in TABLES.items() if one.metric in GROUP_METRICS} - {"wording"}
    if not set(_tables(given)) & (with_intervals | set(NAMES) - {"flow"}):
        raise _idle("--intervals", f"--table {_tables(given)[0]}")


def _idle(option: str, beside: str) -> UniferumError:
    return UniferumError(option, must=f"not stand beside {beside}", cure="it has no effect on it")


def _check_metric(given: Mapping[str, object]) -> None:
    from uniferum.report.tables.pivot import METRICS

    metric = given.get("--metric")
    if metric is not None and metric not in METRICS:
        raise UniferumError("--metric", metric, must="be a known metric", cure=near_miss(str(metric), METRICS))


def _check_label(given: Mapping[str, object], used: set[str]) -> None:
    """A label has no effect where every number is a mean over labels."""
    if "--label" not in used or used & {"--rows", *TESTS, "--figures", "--html"}:
        return
    idle = [name for name in _tables(given) if name in GROUP_TABLES]
    if idle:
        cure = "--table labels, or --rows model,train_on --columns label"
        raise UniferumError("--label", given["--label"], must=f"not stand beside table {idle[0]}, of means", cure=cure)


def _tables(given: Mapping[str, object]) -> list[str]:
    tables = given.get("--table")
    return list(tables) if isinstance(tables, list) and tables else ["auroc"]


def _check_guidelines(given: Mapping[str, object], used: set[str]) -> None:
    """The options of one table of reporting guidelines have no effect on others, and those of others none on it."""
    from uniferum.report.guidelines.catalogue import NAMES

    tables = _tables(given)
    for option, needed in NEEDS_TABLE.items():
        if option in used and not set(needed) & set(tables):
            raise UniferumError(
                option, must=f"stand beside --table {' or --table '.join(needed)}", cure="without it has no effect"
            )
    idle = [option for option in OF_NO_GUIDELINE if option in used]
    if idle and set(tables) <= set(NAMES):
        raise _idle(idle[0], f"--table {tables[0]}")
    limits = [option for option in ("--group", "--label") if option in used]
    if limits and tables == ["flow"]:
        raise _idle(limits[0], "--table flow")
