"""Parts beside the page cannot end a script element early, and are read back as they were written."""

import json

import pytest

from uniferum.report.site.parts import embedded, write_data, write_part


def test_embedded_data_cannot_end_its_element():
    text = embedded("numbers", {"name": "</script><script>alert(1)</script>"})
    assert text.count("</script>") == 1
    assert json.loads(text[text.index(">") + 1 : text.rindex("<")])["name"] == "</script><script>alert(1)</script>"


@pytest.mark.parametrize(("write", "called"), [(write_part, "showPart"), (write_data, "showData")])
def test_a_part_is_a_script_that_hands_over_its_content(tmp_path, write, called):
    write(tmp_path, "one", "a <b>\u2028</b>")
    text = (tmp_path / "parts" / "one.js").read_text()
    assert text == f'window.{called}("one","a <b>\\u2028</b>");\n'
