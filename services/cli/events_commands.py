"""The commands under `loyalty events`. Each imports what it needs when it runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Events on the bus: see them, and those put aside.", no_args_is_help=True)

DataOption = Annotated[Path, typer.Option("--data", help="The directory that holds all data.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
DATA_DEFAULT = Path(".loyalty")


@contextmanager
def _refusals() -> Iterator[None]:
    """Say what is refused in a line, and exit 1."""
    from services.cli.events import UnknownReader
    from services.cli.run_file import NothingRuns

    try:
        yield
    except (NothingRuns, UnknownReader) as refused:
        typer.echo(f"loyalty events: {refused}", err=True)
        raise typer.Exit(1) from None


@app.command()
def parked(data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """List the events that kept failing and were put aside, with the error of each."""
    from services.cli.events import show_parked

    with _refusals():
        show_parked(data, as_json=as_json)


@app.command()
def replay(
    event_ids: Annotated[list[str] | None, typer.Argument(help="Which; none for all.")] = None,
    data: DataOption = DATA_DEFAULT,
) -> None:
    """Apply parked events again, and wait for it. Exits 1 when any is parked still."""
    from services.cli import events

    with _refusals():
        asked, left = events.replay(data, event_ids or [])
    typer.echo(f"{asked} to apply again, {left} parked still")
    if left:
        raise typer.Exit(1)


@app.command()
def rewind(
    consumer: Annotated[str, typer.Argument(help='Such as ledger, or "relay".')],
    source: Annotated[str, typer.Argument(help="Whose events: members.")],
    data: DataOption = DATA_DEFAULT,
) -> None:
    """Let a consumer read what a source's outboxes hold from the beginning.

    After a database was restored from a dump, or to hand a new consumer on RabbitMQ what was
    announced before it came ("relay"). What a consumer applied before it does not apply again.
    """
    from services.cli import events

    with _refusals():
        streams = events.rewind(data, consumer, source)
    typer.echo(f"{consumer} reads {streams} streams of {source} from the beginning")


@app.command()
def tail(
    source: Annotated[str | None, typer.Option(help="Only of this service.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help='Only "CardIssued", say.')] = None,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="From the oldest one kept.")
    ] = False,
    data: DataOption = DATA_DEFAULT,
) -> None:
    """Print events as they are announced, a line of JSON each, until Ctrl-C."""
    from services.cli import events

    with _refusals():
        events.tail(data, source=source, kind=kind, from_start=from_start)
