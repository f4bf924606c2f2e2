"""Names of cells, which rows have published values, and phantoms in every title."""

import csv
import io
import json
from dataclasses import replace

import pytest

from uniferum.model.config import GATORTRON, PUBMEDBERT, EncoderConfig, FusionConfig, ModelConfig
from uniferum.preprocessing.geometry import Geometry
from uniferum.report.checks.claims_table import claims_sheet
from uniferum.report.checks.compare import compare_sheet
from uniferum.report.checks.examine import examine
from uniferum.report.checks.margins import Margins
from uniferum.report.checks.verdict import judge
from uniferum.report.checks.verdict_table import verdict_sheet
from uniferum.report.figures import catalogue, style
from uniferum.report.read_records import from_folders
from uniferum.report.records import PendingCell
from uniferum.report.site import page as site
from uniferum.report.systems import PAPER_LAYERS, PAPER_TEXT, encoder_word, other_system
from uniferum.report.tables.catalogue import TABLES, make_table
from uniferum.report.tables.naming import distinguish_encoders, parts, unpublished_notes
from uniferum.report.tables.pivot import Layout, pivot_table
from uniferum.report.tables.rendering import Style, render


def phantoms(records):
    return [replace(record, phantoms=True) for record in records]


@pytest.fixture
def demo(cells, tmp_path):
    """Two small encoders on phantoms, as the demo has them."""
    for encoder in ("small", "wide"):
        for mix in ("CTRATE", "CTRATE+SEG"):
            cells(mix, encoder=encoder)
    return phantoms(from_folders(tmp_path))


def test_the_papers_own_model_is_the_papers_system():
    model = ModelConfig()
    assert PAPER_TEXT == {"pubmedbert": PUBMEDBERT, "gatortron": GATORTRON}
    assert model.text.layers == PAPER_LAYERS
    geometry = Geometry().model_dump(mode="json")
    assert other_system("uniferum", model.model_dump(mode="json"), geometry) == ""
    other = other_system("cnn", model.model_dump(mode="json"), geometry | {"crop_mm": [320.0, 320.0, 256.0]})
    assert other == "geometry.crop_mm [320.0, 320.0, 256.0]"
    changed = model.replace(encoder=EncoderConfig(stride=16), fusion=FusionConfig(visual_norm="batch"))
    assert other_system("uniferum", changed.model_dump(mode="json")) == "encoder.stride 16, fusion.visual_norm"


def test_a_model_that_reads_no_text_has_no_text_encoder():
    keys = ModelConfig().model_dump(mode="json")["text"]
    assert [encoder_word(kind, keys) for kind in ("cnn", "ct_net", "uniferum")] == ["", "", "pubmedbert"]


def test_tables_name_a_hub_id_in_full_for_people_and_programs(cells, tmp_path):
    cells("CTRATE", encoder="gatortron")
    table = make_table("auroc", from_folders(tmp_path), [])
    for kind in ("terminal", "md", "html", "csv", "json"):
        assert GATORTRON in render(table, kind)
    assert f"uniferum {GATORTRON} CTRATE" in render(make_table("labels", from_folders(tmp_path), []), "terminal")


def test_a_word_of_the_grid_that_is_not_true_brings_no_published_value(cells, tmp_path):
    cells("CTRATE", encoder="pubmedbert", text={"name": "tiny", "hidden": 64})
    cells("CTRATE+SEG", encoder="pubmedbert")
    table = make_table("auroc", from_folders(tmp_path), [], published_rows=True)
    text = render(table, "terminal", Style(published=True))
    assert table.entries[("uniferum", "pubmedbert", "CTRATE+SEG"), ("CTRATE", "all")].published == 0.8311
    assert str(table.entries[("uniferum", "tiny-64", "CTRATE"), ("CTRATE", "all")].published) == "nan"
    assert "No published value stands beside uniferum tiny-64: another system than the paper's (text encoder" in text
    labels = make_table("labels", from_folders(tmp_path), [], published_rows=True)
    nodule = ("CTRATE", "all", "lung_nodule")
    assert labels.entries[nodule, ("uniferum", "pubmedbert", "CTRATE+SEG")].published == 0.6791
    assert str(labels.entries[nodule, ("uniferum", "tiny-64", "CTRATE")].published) == "nan"


def test_a_row_of_another_fusion_has_no_published_value_in_any_table(cells, tmp_path):
    cells("CTRATE", fusion={"summary": True})
    records = from_folders(tmp_path)
    for name in TABLES:
        table = make_table(name, records, [], published_rows=True)
        ours = [e for (r, c), e in table.entries.items() if records[0].row in (r, c)]
        assert all(str(entry.published) == "nan" for entry in ours), name


def test_a_row_that_bears_the_papers_name_and_is_another_system_is_not_judged(cells, tmp_path):
    cells("CTRATE", fusion={"summary": True})
    cells("CTRATE+SEG", encoder="small")
    verdict = verdict_sheet(judge(make_table("auroc", from_folders(tmp_path), []), Margins()), "auroc")
    assert {row[2] for row in verdict.rows} == {"CTRATE"}
    assert {row[10] for row in verdict.rows} == {"another system than the paper's (fusion.summary)"}
    small = [one for one in from_folders(tmp_path) if one.text_encoder == "tiny-64"]
    none = verdict_sheet(judge(make_table("auroc", small, []), Margins()), "auroc")
    assert (none.rows, none.below) == ([], ["not comparable: the paper has no number of these systems."])


def test_a_waiting_cell_of_another_system_has_no_published_value(cells, tmp_path):
    waiting = PendingCell("c", "uniferum", "pubmedbert", "CTRATE", 0, "due", other_system="fusion.summary")
    entry = make_table("auroc", [], [waiting]).entries[waiting.row, ("CTRATE", "all")]
    assert str(entry.published) == "nan"
    same = make_table("auroc", [], [replace(waiting, other_system="")]).entries[waiting.row, ("CTRATE", "all")]
    assert same.published == 0.8296


def test_phantoms_stand_in_every_title_and_no_published_value_beside_them(cells, tmp_path):
    for mix in ("CTRATE", "CTRATE+SEG"):
        cells(mix)  # the paper's own system, so that phantoms alone keep the values away
    records = phantoms(from_folders(tmp_path))
    for name in TABLES:
        table = make_table(name, records, [], published_rows=True)
        assert table.title.endswith("(phantoms)"), name
        assert all(str(entry.published) == "nan" for entry in table.entries.values())
        assert {row for row, _ in table.entries} == {row for row, _ in make_table(name, records, []).entries}
    text = render(make_table("auroc", records, [], published_rows=True), "terminal", Style(published=True))
    assert "No published value stands beside these numbers: they are of phantoms." in text
    assert "CT-NET" not in text
    own = pivot_table("own", records, [], Layout(("train_on",), ("cohort",)), published_rows=True)
    assert own.title.endswith("(phantoms)")
    claims = claims_sheet(examine(records, Margins(synthetic=True)))
    assert claims.rows[0][claims.headings.index("Paper")] == "-"
    assert compare_sheet(records, [one.name for one in records]).title == "Paired tests (phantoms)"
    for name in ("auroc", "labels"):
        verdict = verdict_sheet(judge(make_table(name, records, []), Margins()), "auroc")
        assert verdict.rows
        assert {(row[4], row[9], row[10]) for row in verdict.rows} == {("-", "not comparable", "phantoms")}


def test_programs_read_that_numbers_are_of_phantoms(demo, cells, tmp_path):
    table = make_table("auroc", demo, [])
    rows = list(csv.DictReader(io.StringIO(render(table, "csv"))))
    assert {row["data"] for row in rows} == {"phantoms"}
    assert {row["text_encoder"] for row in rows} == {"tiny-64", "tiny-96"}
    assert {entry["data"] for entry in json.loads(render(table, "json"))["entries"]} == {"phantoms"}
    real = [replace(one, phantoms=False) for one in demo]
    assert "data" not in json.loads(render(make_table("auroc", real, []), "json"))["entries"][0]


def test_figures_of_phantoms_say_so_and_draw_the_encoders_that_there_are(demo):
    for name in ("figure1", "figure3", "heatmap-ctrate", "learning"):
        with style.look():
            text = style.as_bytes(catalogue.figures(demo)[name](demo), "svg").decode()
        assert "(phantoms)" in text, name
        assert "missing: no cell" not in text
        assert "0.7561" not in text  # the paper's number
        assert "tiny-64" in text


def test_the_page_of_phantoms_says_so_in_each_of_its_titles(demo, tmp_path, monkeypatch):
    monkeypatch.setattr(site, "figures", lambda records: {})
    text = site.write_page(tmp_path / "site", demo, [], Margins(synthetic=True)).read_text()
    assert "<title>Uniferum report (phantoms)</title>" in text
    assert "<h1>Uniferum report (phantoms)</h1>" in text
    captions = [part.split("</caption>")[0] for part in text.split("<caption>")[1:]]
    assert captions
    assert [one for one in captions if "phantoms" not in one] == []
    assert "<td>tiny-64</td>" in text


def test_the_papers_parts_are_taken_by_the_first_two_encoders_of_cells_without_the_papers(demo):
    assert parts(demo) == ("tiny-64", "tiny-96")
    assert parts([*demo, replace(demo[0], text_encoder="gatortron")]) == ("pubmedbert", "gatortron")
    assert parts(demo[:1]) == ("tiny-64", "gatortron")
    assert parts([replace(demo[0], text_encoder="tiny-128"), demo[1]])[0] == "tiny-64"
    table = make_table("appendix4", demo, [])
    assert table.title == "Appendix Table 4. Average AUROC of Uniferum initialised by tiny-96 (phantoms)"
    assert {row[1] for row in table.rows} == {"tiny-96"}


def test_claims_on_other_encoders_name_them_and_hold_nothing_against_the_papers_numbers(demo):
    sheet = claims_sheet(examine(demo, Margins()))
    assert (
        sheet.below[0]
        == "No cell has a text encoder of the paper: tiny-64 in place of PubMedBERT, tiny-96 in place of GatorTron."
    )
    rows = [dict(zip(sheet.headings, row, strict=True)) for row in sheet.rows]
    near = next(row for row in rows if (row["Claim"], row["Check"]) == ("8", "near"))
    assert near["Cell"] == "Uniferum tiny-64 CTRATE"
    assert (near["Paper"], near["Verdict"], near["Because"]) == ("-", "not comparable", "phantoms")


def test_two_encoders_of_one_name_are_distinguished_by_what_differs(cells, tmp_path):
    cells("CTRATE", encoder="small")
    cells("CTRATE", encoder="deep", text={"name": "tiny", "hidden": 64, "layers": 3})
    cells("INSPECT", encoder="deep", text={"name": "tiny", "hidden": 64, "layers": 3})
    records, _ = distinguish_encoders(from_folders(tmp_path), [])
    assert sorted(one.text_encoder + one.mix for one in records) == [
        "tiny-64 (layers 2)CTRATE",
        "tiny-64 (layers 3)CTRATE",
        "tiny-64 (layers 3)INSPECT",
    ]


def test_encoders_that_differ_between_mixes_alone_keep_one_name(cells, tmp_path):
    cells("CTRATE", encoder="small")
    cells("INSPECT", encoder="small", text={"freeze_words": True})
    records, _ = distinguish_encoders(from_folders(tmp_path), [])
    assert {one.text_encoder for one in records} == {"tiny-64"}


def test_a_cited_system_has_the_footnote_on_what_its_cells_lack():
    def cells(other: str) -> list[PendingCell]:
        return [PendingCell("c", "cnn_transformer", "", "INSPECT", 0, "due", other_system=other)]

    (line,) = unpublished_notes(cells(""), phantoms=False)
    assert "pretrained on slices of RSNA's" in line
    (line,) = unpublished_notes(cells("encoder.weights none"), phantoms=False)
    assert line.startswith("No published value stands beside")
