"""What a ledger is compared to: one SQL function that locks both accounts and moves the points."""

import re
import subprocess
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg2
from sqlalchemy.engine import URL, make_url

from services.plumbing import postgres_cluster

DATABASE = "naive"
CLIENTS = 16
THREADS = 2
CONNECTION_SECONDS_MAX = 60
# Account 0 issues; every credit locks its row, which is what makes it hot.
SCHEMA = """
    CREATE TABLE accounts (account_id integer PRIMARY KEY, points bigint NOT NULL);
    CREATE TABLE transfers (
        transfer_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        source integer NOT NULL,
        target integer NOT NULL,
        points bigint NOT NULL CHECK (points > 0),
        create_time timestamptz NOT NULL DEFAULT now()
    );
    INSERT INTO accounts SELECT number, 0 FROM generate_series(0, %s) AS number;
    CREATE FUNCTION transfer(source integer, target integer, moved bigint) RETURNS void
    LANGUAGE plpgsql AS $$
    BEGIN
        -- By id: opposite transfers must not deadlock.
        PERFORM FROM accounts WHERE account_id IN (source, target) ORDER BY account_id FOR UPDATE;
        UPDATE accounts SET points = points - moved WHERE account_id = source;
        UPDATE accounts SET points = points + moved WHERE account_id = target;
        INSERT INTO transfers (source, target, points) VALUES (source, target, moved);
    END $$;
"""
SCRIPT = "\\set target random(1, :wallets)\nSELECT transfer(0, :target, 10);\n"
RATE = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)


class PgbenchFailed(Exception):  # noqa: N818 — says what happened
    """pgbench did not tell a rate; the message is what it said."""


@dataclass(frozen=True, slots=True)
class NaiveLedger:
    """A database of its own on the cluster that the ledger uses."""

    url: URL
    wallets: int

    @classmethod
    def beside(cls, ledger_url: str, *, wallets: int) -> "NaiveLedger":
        """Make it on the cluster of another database."""
        ledger = cls(make_url(ledger_url).set(database=DATABASE), wallets)
        with closing(_connect(make_url(ledger_url))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"CREATE DATABASE {DATABASE}")
        with closing(_connect(ledger.url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(SCHEMA, (wallets,))
        with closing(_connect(ledger.url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("VACUUM ANALYZE")
        return ledger

    def transfers_per_second(self, seconds: int) -> float:
        """One round of pgbench. Refuses: PgbenchFailed."""
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
            script.write(SCRIPT)
            script.flush()
            finished = subprocess.run(  # noqa: S603 — the installed wheel's program
                [
                    str(postgres_cluster.binaries() / "pgbench"),
                    *("--no-vacuum", "--protocol=prepared", f"--file={script.name}"),
                    f"--define=wallets={self.wallets}",
                    *(f"--client={CLIENTS}", f"--jobs={THREADS}", f"--time={seconds}"),
                    *(f"--host={_host(self.url)}", f"--port={self.url.query['port']}"),
                    f"--username={self.url.username}",
                    str(self.url.database),
                ],
                env=postgres_cluster.environment() | {"PGPASSWORD": str(self.url.password)},
                cwd=Path("/"),
                capture_output=True,
                text=True,
                timeout=seconds + CONNECTION_SECONDS_MAX,
                check=False,
            )
        found = RATE.search(finished.stdout)
        if finished.returncode or found is None:
            raise PgbenchFailed(finished.stderr.strip() or finished.stdout.strip())
        return float(found[1])


def _host(url: URL) -> str:
    return str(url.query["host"])


def _connect(url: URL) -> "psycopg2.extensions.connection":
    return psycopg2.connect(
        host=_host(url),
        port=str(url.query["port"]),
        user=url.username,
        password=url.password,
        dbname=url.database,
        connect_timeout=5,
    )
