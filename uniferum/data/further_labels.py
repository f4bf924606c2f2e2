"""Labels of a dataset beyond the paper's, for the training of a compared system (``sampling.labels: all``).

A store keeps them in a table of their own. They are in no digest, task or score unless a run asks for them, and then
only on its training and validation scans: what is tested are the paper's tasks. The names, with their source, are in
``configs/terms/further_labels.yaml``.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from uniferum.config import Section, load_yaml, parse
from uniferum.data.vocabulary import TERMS, Label, Vocabulary
from uniferum.errors import UniferumError

FURTHER = "further"
"""Group of these labels."""


class _Tokens(Section):
    RADCHEST: tuple[str, ...] = ()


@cache
def further_columns(cohort: str) -> Mapping[str, str]:
    """Map the further labels of a cohort to the dataset's own names; empty for a cohort without any.

    An id begins with the cohort's name: RAD-ChestCT's ``lymphadenopathy`` is not the label of CT-RATE.
    """
    path = TERMS / "further_labels.yaml"
    tokens = parse(_Tokens, load_yaml(path), source=str(path)).model_dump().get(cohort, ())
    return {f"{cohort.lower()}_{token}": token for token in tokens}


def with_further(vocabulary: Vocabulary, cohort: str) -> Vocabulary:
    """Add the further labels of a cohort to a vocabulary, as a group of their own."""
    tokens = further_columns(cohort)
    labels = {
        label: Label(
            label,
            token.replace("_", " "),
            f"Diagnose the presence of {token.replace('_', ' ')}",
            cohorts=(cohort,),
            columns={cohort: token},
        )
        for label, token in tokens.items()
    }
    groups = {**vocabulary.groups, (cohort, FURTHER): tuple(tokens)}
    return replace(vocabulary, labels={**vocabulary.labels, **labels}, groups=groups)


def no_further_labels(cohort: str) -> UniferumError:
    """The error for a store that was prepared without the table of further labels."""
    from uniferum.preprocessing.store.store import FURTHER_LABELS

    return UniferumError(
        f"store of {cohort}: {FURTHER_LABELS}",
        must="exist, because sampling.labels is all",
        cure="prepare the cohort again from the complete label files, which keeps the prepared scans, "
        "or set sampling.labels: paper",
    )
