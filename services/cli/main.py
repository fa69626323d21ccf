"""The `loyalty` command. Each command imports what it needs when it runs."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from services.cli import events_commands

app = typer.Typer(
    help="The loyalty platform on one machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
app.add_typer(events_commands.app, name="events")

DataOption = Annotated[Path, typer.Option("--data", help="The directory that holds all data.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def _amqp_url(value: str | None) -> str | None:
    if value and not value.startswith(("amqp://", "amqps://")):
        # Not repeated: there may be a password in it.
        raise typer.BadParameter("it begins with amqp:// or amqps://")
    return value or None


AmqpOption = Annotated[
    str | None,
    typer.Option(
        "--amqp",
        metavar="URL",
        envvar="LOYALTY_AMQP_URL",
        callback=_amqp_url,
        help="A RabbitMQ for the services' workers; without one the embedded bus carries events.",
    ),
]
DATA_DEFAULT = Path(".loyalty")


@app.command()
def up(
    data: DataOption = DATA_DEFAULT,
    port_base: Annotated[
        int, typer.Option(min=0, max=65_000, help="Ports count from here; 0 takes free ones.")
    ] = 7100,
    amqp: AmqpOption = None,
    night: Annotated[
        bool,
        typer.Option("--night/--no-night", envvar="LOYALTY_NIGHT", help="Close days by itself."),
    ] = True,
    night_delay_minutes: Annotated[
        int,
        typer.Option(
            min=0,
            max=1_439,
            envvar="LOYALTY_NIGHT_DELAY_MINUTES",
            help="How long after midnight UTC a day is closed: the last tills still send.",
        ),
    ] = 15,
) -> None:
    """Start the database, the servers and the bus; stay until Ctrl-C and then stop them.

    Days that are over are closed, also those that ended while nothing ran.
    """
    from services.cli.up import run

    night_delay = timedelta(minutes=night_delay_minutes) if night else None
    run(data, port_base, amqp_url=amqp, night_delay=night_delay)


@app.command()
def night(
    last_day: Annotated[
        datetime | None,
        typer.Option(
            "--date",
            metavar="DAY",
            formats=["%Y-%m-%d"],
            help="The last day to close; yesterday in UTC where none is given.",
        ),
    ] = None,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Close the business days that are open still, on the running platform.

    Goes on where an earlier night was interrupted. Exits 1 when it cannot.
    """
    from services.cli.night import run

    run(data, last_day.date() if last_day else None, as_json=as_json)


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
    role: Annotated[
        list[str] | None, typer.Option(help='What it is, such as "supervisor"; repeatable.')
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
            roles=role or [],
        )
    )


@app.command()
def call(
    method: Annotated[str, typer.Argument(help="Such as GetWallet or RecordSale.")],
    body: Annotated[str, typer.Argument(help="The request in JSON; - reads it from input.")] = "",
    subject: Annotated[
        str, typer.Option(help="Whose token: what one person proposes another approves.")
    ] = "operators/command-line",
    data: DataOption = DATA_DEFAULT,
) -> None:
    """Call any method of the running platform: JSON in, JSON out.

    Mints a token with just the scope the method states; makes a request_id where one is left out.
    """
    from services.cli.call import call as call_method

    call_method(data, method, body, subject=subject)


@app.command()
def upload_codes(
    pool: Annotated[str, typer.Argument(help="The pool's name, such as cinema.")],
    file: Annotated[
        Path, typer.Argument(help="A code a line.", exists=True, dir_okay=False, readable=True)
    ],
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Put a file of voucher codes, of any size, into a pool; say which lines were not loaded.

    Interrupted, the same again goes on, and loads nothing twice.
    """
    from services.cli.code_upload import run

    run(data, pool, file, as_json=as_json)


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
def preview(
    thresholds: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TIER=POINTS...", help="Thresholds that differ from the rules in force."
        ),
    ] = None,
    data: DataOption = DATA_DEFAULT,
    group: Annotated[str, typer.Option(help="The tier group.")] = "status",
    point_value: Annotated[
        str, typer.Option(help="What a point costs, in minor units of the currency.")
    ] = "1",
    as_json: JsonOption = False,
) -> None:
    """Show what other tier thresholds would do to every member. Makes a draft, no more."""
    from services.cli.preview import run

    run(data, group, thresholds or [], point_value_minor=point_value, as_json=as_json)


@app.command()
def audit(data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """Prove the books from the tables; the servers may be up or down.

    Exits 1 and lists what is off, where anything is; 2 where there is nothing to audit.
    """
    from services.cli.audit import show
    from services.cli.ledger_database import NoLedgerDatabase

    try:
        right = show(data, as_json=as_json)
    except NoLedgerDatabase as refused:
        typer.echo(f"loyalty audit: {refused}", err=True)
        raise typer.Exit(2) from None
    if not right:
        raise typer.Exit(1)


@app.command()
def liability(
    month: Annotated[
        str, typer.Option(help="Such as 2024-03; the current one where none is given.")
    ] = "",
    csv_file: Annotated[
        Path | None, typer.Option("--csv", dir_okay=False, help="Write every figure there too.")
    ] = None,
    expiry_months: Annotated[
        int | None,
        typer.Option(min=1, max=3_660, help="What if points lived so many months?"),
    ] = None,
    point_value: Annotated[
        str, typer.Option(help="What a point is worth, in minor units of the currency.")
    ] = "1",
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Show what the programme owes its members: movement, ages, breakage, contract liability.

    Exits 1 where the figures do not tie to the books.
    """
    from services.cli.liability import run

    run(
        data,
        month,
        point_value_minor=point_value,
        expiry_months=expiry_months,
        csv_file=csv_file,
        as_json=as_json,
    )


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="Where to write the books.", dir_okay=False)],
    notation: Annotated[
        str, typer.Option("--format", metavar="hledger|beancount", help="Whose notation.")
    ],
    data: DataOption = DATA_DEFAULT,
) -> None:
    """Write the programme's books for a plain text accounting tool, balances asserted."""
    from services.cli.export import NOTATIONS, write
    from services.cli.ledger_database import NoLedgerDatabase

    if notation not in NOTATIONS:
        raise typer.BadParameter("hledger or beancount", param_hint="--format")
    try:
        write(data, notation, file)
    except (NoLedgerDatabase, OSError) as refused:
        typer.echo(f"loyalty export: {refused}", err=True)
        raise typer.Exit(1) from None


@app.command()
def export_member(
    member: Annotated[str, typer.Argument(help="Such as members/…, as FindMember names it.")],
    out: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Where to write it; to the output where none is given."),
    ] = None,
    group: Annotated[
        list[str] | None, typer.Option(help="A tier group; repeatable; status where none is given.")
    ] = None,
    data: DataOption = DATA_DEFAULT,
) -> None:
    """Write all that the running platform keeps of a member, as one JSON document.

    With whoever is merged into them; without the others of their household.
    """
    from services.cli.export_member import run

    run(data, member, out, group or ["status"])
