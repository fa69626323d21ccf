"""`python -m services.cli`: the same as `loyalty`."""

from services.cli.main import app

app()
