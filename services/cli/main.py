"""The `loyalty` command. Each command imports what it needs when it runs."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="The loyalty platform on one machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)

DataOption = Annotated[Path, typer.Option("--data", help="The directory that holds all data.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
DATA_DEFAULT = Path(".loyalty")


@app.command()
def up(
    data: DataOption = DATA_DEFAULT,
    port_base: Annotated[
        int, typer.Option(min=0, max=65_000, help="Ports count from here; 0 takes free ones.")
    ] = 7100,
) -> None:
    """Start the database, the servers and the bus; stay until Ctrl-C and then stop them."""
    from services.cli.up import run

    run(data, port_base)


@app.command()
def status(data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """Show each process's health, the bus's lag and the databases' sizes.

    Exits 1 when anything is not healthy or nothing runs.
    """
    from services.cli.status import show

    if not show(data, as_json=as_json):
        raise typer.Exit(1)


@app.command()
def token(
    scope: Annotated[str, typer.Option(help='Scopes, separated by spaces: "sales.write".')],
    subject: Annotated[str, typer.Option(help='Whose token: "terminals/31/4".')],
    store: Annotated[
        list[str] | None, typer.Option(help='A store it may act for; repeatable; "*" for all.')
    ] = None,
    lifetime_seconds: Annotated[int, typer.Option(min=1, help="How long it is valid.")] = 3600,
    data: DataOption = DATA_DEFAULT,
) -> None:
    """Print a token of the development issuer."""
    from services.cli.tokens import mint

    typer.echo(
        mint(
            data,
            subject=subject,
            scope=scope,
            stores=store or [],
            lifetime_seconds=lifetime_seconds,
        )
    )


@app.command()
def replay(
    data: DataOption = DATA_DEFAULT,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="On a directory of its own, removed at the end.")
    ] = False,
    stay: Annotated[bool, typer.Option("--stay", help="Stay up until Ctrl-C.")] = False,
    port_base: Annotated[
        int, typer.Option(min=0, max=65_000, help="Ports count from here; 0 takes free ones.")
    ] = 7100,
) -> None:
    """Replay a real year of a grocery chain at its tills, then prove the books.

    Resumes where it was interrupted. The last line is JSON; exits 1 where the books do not prove.
    """
    from services.cli.replay import run

    run(data, fresh=fresh, stay=stay, port_base=0 if fresh else port_base)


@app.command()
def audit(data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """Prove the books from the tables. Exits 1 and lists what is off, where anything is."""
    from services.cli.audit import show
    from services.cli.ledger_database import NoLedgerDatabase

    try:
        right = show(data, as_json=as_json)
    except NoLedgerDatabase as refused:
        typer.echo(f"loyalty audit: {refused}", err=True)
        raise typer.Exit(1) from None
    if not right:
        raise typer.Exit(1)


@app.command()
def audit(data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """Prove the books from the ledger's tables; its servers may be up or down.

    Exits 1 with a list where something is off.
    """
    from services.cli.audit import show
    from services.cli.ledger_database import NoLedgerDatabase

    try:
        right = show(data, as_json=as_json)
    except NoLedgerDatabase as error:
        typer.echo(f"loyalty audit: {error}", err=True)
        raise typer.Exit(2) from None
    if not right:
        raise typer.Exit(1)
