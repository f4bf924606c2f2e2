"""The command `uniferum report`."""

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the main application."""
