"""The simulation of verdicts in its short form."""

from benchmarks.verdict_power import published_means, shares


def test_there_are_73_published_means():
    assert len(published_means()) == 73


def test_true_cells_are_reproduced_at_the_attainable_margin():
    found = shares(("RADCHEST", "shared"), [0.796, 0.7], sets=40, seeds=1, rng=7)
    assert found["reproduced"] >= 0.75, "80 %, and two Monte Carlo errors of 80 verdicts"
    assert found["differs"] <= 0.05
    assert found["reproduced at 0.02"] < 0.2
