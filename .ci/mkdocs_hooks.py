"""Show the cross-references of docstrings as plain code in the API pages of the documentation."""

import re
from typing import Any

ROLE = re.compile(r":(?:func|class|meth|mod|data|attr):(?=<code>)")


def on_page_content(html: str, **_: Any) -> str:
    """Remove the name of a role, as in ``:func:``, from a rendered page."""
    return ROLE.sub("", html)
