"""Commands of `uniferum grid`."""

import typer

app = typer.Typer(no_args_is_help=True)
