"""`loyalty token`: a token of the development issuer."""

from collections.abc import Sequence
from pathlib import Path

import typer

from services.cli.service_table import AUDIENCE
from services.plumbing import development_issuer


def mint(
    data_dir: Path,
    *,
    subject: str,
    scope: str,
    stores: Sequence[str],
    lifetime_seconds: int,
    roles: Sequence[str] = (),
) -> str:
    """A token with the scopes that `scope` names, separated by spaces.

    Ends with exit code 1 where no platform was ever started.
    """
    issuer = development_issuer.existing_issuer(data_dir / "issuer", audience=AUDIENCE)
    if issuer is None:
        message = f"no keys in {data_dir}; start it once with: loyalty up --data {data_dir}"
        typer.echo(f"loyalty token: {message}", err=True)
        raise typer.Exit(1)
    return issuer.mint(subject, scope.split(), stores, lifetime_seconds, roles=roles)
