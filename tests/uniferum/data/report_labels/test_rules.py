"""The rule-based labeller handles negation, uncertainty and clauses; keywords and draws follow paper 3.4.3."""

import pytest

from uniferum.data.report_labels.keywords import Report, choose, mentions, questions
from uniferum.data.report_labels.rules import judge, sentences
from uniferum.data.vocabulary import Vocabulary
from uniferum.errors import UniferumError


@pytest.mark.parametrize(
    ("label", "text", "value"),
    [
        ("pleural_effusion", "Small bilateral pleural effusions.", 1),
        ("pleural_effusion", "1. No evidence of embolism. 2. Small left pleural effusion", 1),
        ("pleural_effusion", "No pulmonary embolus, small pleural effusion.", 1),
        ("pleural_effusion", "No significant change in moderate pleural effusion.", 1),
        ("atelectasis", "Bibasilar atelectasis without consolidation.", 1),
        ("cardiomegaly", "Mild cardiomegaly without pericardial effusion", 1),
        ("hiatal_hernia", "There is no lymphadenopathy. Moderate hiatal hernia.", 1),
        ("lung_nodule", "4.5 mm nodule in the right upper lobe.", 1),
        ("interlobular_septal_thickening", "Smooth interlobular septal thickening suggesting edema", 1),
        ("peribronchial_thickening", "Bronchial-wall thickening is seen", 1),
        ("pleural_effusion", "No pleural effusion or pneumothorax.", 0),
        ("pleural_effusion", "No pericardial or pleural effusion", 0),
        ("pleural_effusion", "The left pleural effusion has resolved.", 0),
        ("pericardial_effusion", "Mild cardiomegaly without pericardial effusion", 0),
        ("consolidation", "Bibasilar atelectasis without consolidation.", 0),
        ("lung_nodule", "Severe emphysema but no nodules", 0),
        ("lung_nodule", "Thyroid nodule.", 0),
        ("emphysema", "Subcutaneous emphysema in the left chest wall.", 0),
        ("emphysema", "", 0),
        ("consolidation", "Opacity which may represent atelectasis versus consolidation.", None),
        ("atelectasis", "Consolidation, atelectasis is not excluded.", None),
        ("bronchiectasis", "Possible mild bronchiectasis.", None),
        ("bronchiectasis", "Possible bronchiectasis. Bronchiectasis in the middle lobe.", 1),
    ],
)
def test_reports_are_judged_as_a_reader_would(label: str, text: str, value: int | None) -> None:
    assert judge(label, text) == value


def test_a_decimal_point_ends_no_sentence() -> None:
    assert list(sentences("Nodule of 4.5 mm. No effusion;\nstable")) == ["Nodule of 4.5 mm", "No effusion", "stable"]


def test_every_label_that_reports_are_judged_for_has_keywords() -> None:
    for label in Vocabulary.load().groups["CTRATE", "all"]:
        name = Vocabulary.load().labels[label].name
        assert next(mentions(label, f"There is {name.lower()}."), None) or label == "medical_material", label
    with pytest.raises(UniferumError, match="did you mean 'pleural_effusion'"):
        next(mentions("pleural_effusions", "x"))


def test_as_many_reports_are_drawn_as_mention_the_label() -> None:
    reports = [Report(str(i), "Emphysema." if i % 4 == 0 else "Clear lungs.") for i in range(40)]
    chosen = choose(reports, ["emphysema", "hiatal_hernia"], seed=3)
    assert chosen.candidates["emphysema"] == {str(i) for i in range(0, 40, 4)}
    assert len(chosen.drawn["emphysema"]) == 10
    assert not chosen.drawn["emphysema"] & chosen.candidates["emphysema"]
    assert chosen.drawn["hiatal_hernia"] == frozenset()
    assert chosen.drawn == choose(reversed(reports), ["emphysema", "hiatal_hernia"], seed=3).drawn
    assert chosen.drawn != choose(reports, ["emphysema", "hiatal_hernia"], seed=4).drawn
    assert len(list(questions(reports, chosen))) == chosen.count() == 20
