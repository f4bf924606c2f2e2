"""What `uniferum report --search` prints and draws: the trials of a search."""

from pathlib import Path

from cli import output
from cli.report_output import Drawing, Tests, print_sheets
from uniferum.errors import UniferumError

FIGURE = "parallel-coordinates"


def print_search(path: Path, kind: str, drawing: Drawing, tests: Tests) -> None:
    """Print the trials of a search, with ``--vary`` the values of a key, and draw its parallel coordinates."""
    from orchestration.search.trials import read_trials
    from uniferum.report.figures.parallel import parallel_coordinates
    from uniferum.report.figures.style import check_formats, look, save
    from uniferum.report.tables.trials import trials_sheet, values_sheet

    search = read_trials(path)
    others = [name for name in drawing.names if name != FIGURE]
    if others:
        raise UniferumError("--figure", others[0], must=f"be {FIGURE}, the figure of a search")
    sheets = [values_sheet(search, key, tests.base) for key in tests.vary] or [trials_sheet(search)]
    print_sheets(sheets, kind, phantoms=False)
    if drawing.folder is not None:
        check_formats(drawing.formats)
        with look():
            written = save(parallel_coordinates(search), drawing.folder, FIGURE, drawing.formats)
        output.say(f"{len(written)} files in {drawing.folder}")
