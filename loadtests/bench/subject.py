"""What is measured: a platform of its own on a fresh directory, with a policy and cards."""

import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from loadtests.bench.workload import card_token
from services.cli.demo.replay import publish_policies
from services.cli.platform import running_platform
from services.cli.run_file import RunningPlatform
from services.cli.service_table import AUDIENCE, POSTGRES
from services.ledger.domain.documents import CardState, DocumentType
from services.ledger.storage import shards
from services.plumbing import development_issuer, postgres_cluster
from services.plumbing.database import NO_SETTINGS, array, engine, text_array, transaction

LEDGER = "ledger"
# The names that processor time is kept under.
SERVER, DATABASE, GENERATORS = "server", "postgres", "generators"
SCOPES = (
    *("sales.write", "policies.write", "diagnostics.read"),
    *("rules.read", "rules.write", "rules.publish"),
    *("points.adjust", "rewards.write", "rewards.publish", "rewards.redeem", "days.write"),
)
TOKEN_SECONDS = 7_200
# No day closes by itself while something is measured, and members get points for it by hand.
ENVIRONMENT = {"LOYALTY_NIGHT": "no", "LEDGER_ADJUSTMENT_LIMITS": '{"*": 1000000000}'}
DURABILITY = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


class NotDurable(Exception):  # noqa: N818 — an answer, not an accident
    """A setting would make the numbers mean less than they say."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The ledger under measure, and its database for counting and setting up."""

    address: str
    token: str
    database_url: str
    database: Engine
    wallets: int
    process_ids: Mapping[str, list[int]]
    platform: RunningPlatform

    def settings(self) -> dict[str, str]:
        """What the database says of its durability. Refuses: NotDurable."""
        with transaction(self.database) as connection:
            found = {
                name: str(connection.exec_driver_sql(f"SHOW {name}").scalar_one())
                for name in DURABILITY
            }
            version = str(connection.exec_driver_sql("SHOW server_version").scalar_one())
        if found != DURABILITY:
            raise NotDurable(f"the database runs with {found}")
        return found | {"server_version": version}

    def settle(self) -> None:
        """Do now what the database would do in the background, so that rounds start alike."""
        with self.database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for statement in ("SET statement_timeout = 0", "VACUUM ANALYZE", "CHECKPOINT"):
                connection.exec_driver_sql(statement)

    def sales(self) -> int:
        """How many sales the journal has."""
        with transaction(self.database) as connection:
            return sum(
                int(
                    connection.exec_driver_sql(
                        f"SELECT count(*) FROM {schema}.journal"  # noqa: S608 — a name of ours
                        f" WHERE type = {DocumentType.SALE.value} AND refusal IS NULL"
                    ).scalar_one()
                )
                for schema in shards.schemas(connection)
            )


@contextmanager
def fresh_subject(
    wallets: int,
    *,
    amqp_url: str | None = None,
    database_settings: Mapping[str, str] = NO_SETTINGS,
) -> Iterator[Subject]:
    """A platform while the block runs, with the demo's policy and a card for every wallet.

    With the URL of a RabbitMQ its workers carry the events. database_settings are added to the
    platform's own.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="loyalty-bench-")))
        _set(directory, database_settings)
        platform = stack.enter_context(
            running_platform(directory, amqp_url=amqp_url, environment=ENVIRONMENT)
        )
        token = _token(platform)
        database_url = platform.database_urls[LEDGER]
        database = engine(database_url, pool_size=2)
        try:
            publish_policies(ledger_address=platform.grpc_address(LEDGER), token=token)
            _add_cards(database, wallets)
            yield Subject(
                address=platform.grpc_address(LEDGER),
                token=token,
                database_url=database_url,
                database=database,
                wallets=wallets,
                process_ids={
                    SERVER: [platform.process(LEDGER).pid],
                    DATABASE: [platform.process(POSTGRES).pid],
                },
                platform=platform,
            )
        finally:
            database.dispose()


def _set(directory: Path, settings: Mapping[str, str]) -> None:
    """Write settings as ALTER SYSTEM would, before the database first starts."""
    if settings:
        cluster = postgres_cluster.prepare(directory)
        with (cluster.data / "postgresql.auto.conf").open("a") as written:
            written.writelines(f"{name} = '{value}'\n" for name, value in settings.items())


def _token(platform: RunningPlatform) -> str:
    issuer = development_issuer.open_issuer(platform.data_dir / "issuer", audience=AUDIENCE)
    return issuer.mint("bench", SCOPES, ["*"], TOKEN_SECONDS)


def _add_cards(database: Engine, count: int) -> None:
    """What the reactions to so many enrolments would leave in the card directory."""
    wallets = range(1, count + 1)
    with transaction(database) as connection:
        connection.exec_driver_sql(
            "CREATE TEMPORARY TABLE enrolled ON COMMIT DROP AS SELECT *"
            " FROM unnest(%s::uuid[], %s::bigint[], %s::text[]) AS e (member, wallet, card)",
            (
                array(uuid.uuid4() for _ in wallets),
                array(wallets),
                text_array(map(card_token, wallets)),
            ),
        )
        connection.exec_driver_sql(
            "INSERT INTO members (member_id, enrol_time) SELECT member, now() FROM enrolled;"
            "INSERT INTO wallet_owners (wallet_id, member_id) SELECT wallet, member FROM enrolled;"
            "INSERT INTO cards (card_token, wallet_id, state, known)"
            " SELECT card, wallet, %s, true FROM enrolled;"
            "SELECT setval('wallet_ids', %s)",
            (CardState.ACTIVE.value, count),
        )
