"""`loyalty` as it is called in a terminal, without a process for every call."""

from typer.testing import CliRunner, Result

from services.cli.main import app


def loyalty(*arguments: str) -> Result:
    """What a command answers: its exit code and what it prints."""
    return CliRunner().invoke(app, arguments)
