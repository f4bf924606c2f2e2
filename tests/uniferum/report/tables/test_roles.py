"""Roles of numbers: the letter of each, and a star that compares cells of one role."""

from pathlib import Path

from uniferum.data.vocabulary import Vocabulary
from uniferum.evaluation.benchmark import label_role
from uniferum.report.read_records import from_folders
from uniferum.report.tables.catalogue import make_table
from uniferum.report.tables.rendering import long_rows, render


def test_each_number_has_the_role_of_its_labels(cells, tmp_path: Path) -> None:
    cells("CTRATE")
    cells("CTRATE+INSPECT")
    table = make_table("labels", from_folders(tmp_path), [])
    vocabulary = Vocabulary.load()
    for (row, column), entry in table.entries.items():
        cohort, group, label = row
        if label in vocabulary.labels:
            mix = column[2].split("+")
            role = label_role(vocabulary.groups, mix, (cohort, group), label, vocabulary.evaluation_only)
            assert entry.role == role, (row, column)


def test_a_star_compares_cells_of_one_role(cells, tmp_path: Path) -> None:
    for mix, strength in (("CTRATE", 1.0), ("CTRATE+SEG", 1.5), ("CTRATE+INSPECT", 4.0)):
        cells(mix, strength=strength)
    table = make_table("auroc", from_folders(tmp_path), [])
    shared = {row[2]: entry for (row, column), entry in table.entries.items() if column == ("RADCHEST", "shared")}
    assert {entry.role for entry in shared.values()} == {"shared"}
    column = {row[2]: entry for (row, at), entry in table.entries.items() if at == ("CTRATE", "all")}
    assert [mix for mix, entry in column.items() if entry.best] == ["CTRATE+INSPECT"], "all trained on CTRATE"


def test_letters_are_explained_and_programs_read_the_word(cells, tmp_path: Path) -> None:
    cells("CTRATE")
    table = make_table("auroc", from_folders(tmp_path), [])
    text = render(table, "terminal")
    assert "s: shared (labels that the cell trained on, in another cohort)" in text
    assert f"{table.entries[table.rows[0], ('INSPECT', 'shared')].value:.4f}s" in text
    assert {line["role"] for line in long_rows(table)} >= {"in-distribution", "shared"}
