"""Commands of `uniferum run`."""

import typer

app = typer.Typer(no_args_is_help=True)
