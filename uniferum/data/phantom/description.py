"""Make the table of docs/phantoms.md from the registered findings: labels, size, contrast and prevalence.

Update the table with ``python -m uniferum.data.phantom.description docs/phantoms.md``.
"""

import sys
from pathlib import Path

from uniferum.data.phantom import findings, findings_duke  # noqa: F401  (both fill the registry)
from uniferum.data.phantom.cases import (
    CT_RATE_LABELS,
    INSPECT_REPORT_LABELS,
    PREVALENCE,
    RAD_CHEST_LABELS,
    RISK,
    findings_of,
)
from uniferum.data.phantom.drawing import FINDINGS

BEGIN, END = "<!-- findings: begin -->", "<!-- findings: end -->"


def findings_table() -> str:
    """Markdown table with one row per finding, and the labels that it makes positive in each cohort."""
    lines = [
        "| finding | size | contrast | CTRATE | INSPECT | RADCHEST |",
        "|---|---|---|---|---|---|",
    ]
    for name, finding in FINDINGS.items():
        cells = {cohort: ", ".join(_labels(cohort, name)) for cohort in PREVALENCE}
        shown = [f"{cell} ({PREVALENCE[cohort]:.0%})" if cell else "-" for cohort, cell in cells.items()]
        lines.append(f"| {name} | {finding.size} | {finding.contrast} | {' | '.join(shown)} |")
    return "\n".join(lines)


def with_table(text: str) -> str:
    """Replace the table between its two marks in a page."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{findings_table()}\n{END}{rest.split(END)[1]}"


def _labels(cohort: str, finding: str) -> list[str]:
    if finding not in findings_of(cohort):
        return []
    if cohort == "RADCHEST":
        return [label for label, names in RAD_CHEST_LABELS.items() if finding in names]
    if cohort == "INSPECT":
        labels = [finding] if finding in (*INSPECT_REPORT_LABELS, "pulmonary_embolism") else []
        return labels + [f"risk of {kind}" for kind, weights in RISK.items() if finding in weights]
    return [finding] if finding in CT_RATE_LABELS else []


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")
