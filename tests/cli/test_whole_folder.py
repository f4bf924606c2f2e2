"""A folder that is written all together or not at all."""

from pathlib import Path

import pytest

from cli.whole_folder import whole_folder


def interrupted(folder: Path) -> None:
    with whole_folder(folder) as draft:
        (draft / "cases").mkdir()
        (draft / "cases" / "case-000.js").write_text("a patient")
        raise KeyboardInterrupt


def test_an_interrupted_page_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / "page")
    assert list(tmp_path.rglob("*")) == []


def test_a_new_page_removes_the_images_of_an_earlier_one(tmp_path: Path) -> None:
    for name in ("cases/case-007.js", "parts/data.js"):
        old = tmp_path / "page" / name
        old.parent.mkdir(parents=True)
        old.write_text("a patient")
    (tmp_path / "page" / "notes.txt").write_text("mine")
    with whole_folder(tmp_path / "page") as draft:
        (draft / "index.html").write_text("new")
    assert {path.name for path in (tmp_path / "page").rglob("*") if path.is_file()} == {"index.html", "notes.txt"}
