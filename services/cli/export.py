"""`loyalty export`: the programme's books in a file for a plain text accounting tool."""

from pathlib import Path

import typer
from sqlalchemy.exc import OperationalError

from services.cli.ledger_database import NoLedgerDatabase, ledger_database_url
from services.ledger.domain.beancount_books import Beancount
from services.ledger.domain.books import Notation
from services.ledger.domain.hledger_books import Hledger
from services.ledger.usecases.books import Written, write_books
from services.plumbing.database import engine

NOTATIONS: dict[str, Notation] = {"hledger": Hledger(), "beancount": Beancount()}


def write(data_dir: Path, notation: str, file: Path) -> None:
    """Write the books and say how much they hold. Refuses: NoLedgerDatabase, OSError."""
    try:
        written = export(ledger_database_url(data_dir), NOTATIONS[notation], file)
    except OperationalError as error:
        raise NoLedgerDatabase(f"the ledger's database does not answer: {error.orig}") from error
    typer.echo(
        f"{written.transactions:,} transactions of {written.wallets:,} wallets are in {file}",
        err=True,
    )


def export(ledger_database_url: str, notation: Notation, file: Path) -> Written:
    """Write the books of a ledger's database; an interruption leaves no half of them behind."""
    unfinished = file.with_name(file.name + ".unfinished")
    database = engine(ledger_database_url, pool_size=1)
    try:
        with unfinished.open("w", encoding="utf-8") as target:
            written = write_books(database, notation, target.write)
        unfinished.replace(file)
    finally:
        database.dispose()
        unfinished.unlink(missing_ok=True)
    return written
