"""Options of `uniferum report` that have no effect, or are unknown, are errors."""

import pytest

from cli.report_checks import check_options
from uniferum.errors import UniferumError


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"--metric": "ece"}, "--metric must stand beside --rows or --vary"),
        ({"--rows": "model", "--metric": "auroq"}, "auroc"),
        ({"--rows": "model", "--table": ["auroc"]}, "--table must not stand beside --rows"),
        ({"--figure": ["roc"]}, "--figure must stand beside --figures"),
        ({"--claims": True, "--intervals": True}, "--intervals must not stand beside --claims"),
        ({"--verdict": True, "--published": True}, "--published must not stand beside --verdict"),
        ({"--label": "cabg", "--table": ["auroc"]}, "--table labels"),
        ({"--base": "1e-4"}, "--base must stand beside --vary"),
        ({"--threshold": "youden"}, "--threshold must stand beside --table operating-points"),
        ({"--by": "sex", "--table": ["flow"]}, "--by must stand beside --table subgroups"),
        ({"--table": ["decision"], "--verdict": True}, "--verdict must not stand beside --table decision"),
        ({"--attainable": True, "--table": ["auroc"]}, "--table must not stand beside --attainable"),
        ({"--attainable": True, "--unit": "patient"}, "--unit must not stand beside --attainable"),
        ({"--table": ["operating-pionts"]}, "did you mean 'operating-points'"),
        ({"--table": ["calibration-slop"]}, "did you mean 'calibration-slope'"),
        ({"--table": ["flow"], "--intervals": True}, "--intervals must not stand beside --table flow"),
        ({"--table": ["flow"], "--label": "cabg"}, "--label must not stand beside --table flow"),
        ({"--table": ["calibration"], "--intervals": True}, "--intervals must not stand beside --table calibration"),
        ({"--rows": "model", "--metric": "ece", "--intervals": True}, "--intervals must not stand beside --metric ece"),
        ({"--training-rows": True, "--unit": "patient"}, "--unit must not stand beside --training-rows"),
        ({"--training-rows": True, "--recompute": True}, "--recompute must not stand beside --training-rows"),
        ({"--compare": ["a", "b"], "--recompute": True}, "--recompute must not stand beside --compare"),
        ({"--compare": ["a", "b"], "--cohort": "CTRATE"}, "--cohort must not stand beside --compare"),
        ({"--claims": True, "--label": "cabg"}, "--label must not stand beside --claims"),
    ],
)
def test_an_option_without_effect_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(UniferumError, match=message):
        check_options(given)


@pytest.mark.parametrize(
    "given",
    [
        {"--table": ["auroc", "labels"], "--published": True, "--intervals": True},
        {"--label": "cabg", "--table": ["labels"]},
        {"--rows": "model", "--columns": "cohort", "--metric": "ece"},
        {"--verdict": True, "--against": "all"},
        {"--table": ["auroc", "decision"], "--verdict": True, "--probabilities": "0.1"},
        {
            "--table": ["subgroups"],
            "--by": "sex",
            "--metadata": ["CTRATE=a.csv"],
            "--unit": "scan",
            "--intervals": True,
        },
        {"--compare": ["a", "b"], "--unit": "patient", "--common": True},
        {"--training-rows": True, "--unit": "volume"},
        {"--claims": True, "--recompute": True, "--training-rows": True},
        {"--table": ["flow", "labels"], "--intervals": True, "--label": "cabg"},
        {"--vary": ["lr"], "--base": "1", "--metric": "aupr", "--label": "cabg"},
    ],
)
def test_options_with_effect_pass(given: dict[str, object]) -> None:
    check_options(given)
