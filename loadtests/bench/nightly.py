"""A night over a large programme: how long it takes, and what it takes from the tills."""

import statistics
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from loadtests.bench.crew import Crew
from loadtests.bench.plan import BULK_IN_FLIGHT, Plan
from loadtests.bench.previewing import sales_per_second
from loadtests.bench.subject import Subject
from services.cli.night_points import EXPIRE_LOTS, PointsSteps
from services.ledger.storage.shards import schemas, shard_of
from services.plumbing.database import engine, transaction

WALLETS = 1_000_000
LOTS_EACH = 10
POINTS_EACH = 100
# Above those that the tills of the benchmark use.
FIRST_WALLET = 100_000_000

Say = Callable[[str], None]

# Ten lots a wallet, one of each month; the first expires with the day that is over.
LOTS = """
    INSERT INTO {schema}.lots
        (wallet_id, document_id, ordinal, points, remaining, earn_time, expire_time)
    SELECT wallet, month, 1, {points}, {points}, '{day}'::date + interval '1 day'
           - (10 - month + 1) * interval '1 month',
           '{day}'::date + interval '1 day' + (month - 1) * interval '1 month'
    FROM generate_series({first}, {last}, {shards}) AS wallet,
         generate_series(1, {lots}) AS month"""
SECOND_LOTS = """
    UPDATE {schema}.lots SET expire_time = %s::date
    WHERE wallet_id >= {first} AND document_id = 2"""
HOLDINGS = """
    INSERT INTO {schema}.wallets (wallet_id, available, lifetime)
    SELECT wallet, {lots} * {points}, {lots} * {points}
    FROM generate_series({first}, {last}, {shards}) AS wallet"""


@dataclass(frozen=True, slots=True)
class Night:
    """A night in which a lot of every wallet expires, and the tills' rates before and meanwhile in
    calls per second.
    """

    wallets: int
    lots: int
    seconds: float
    points: int
    before: tuple[float, ...]
    meanwhile: tuple[float, ...]

    @property
    def seconds_of_ten_million(self) -> float:
        """In proportion, where there were fewer lots."""
        return self.seconds * WALLETS * LOTS_EACH / self.lots

    @property
    def share(self) -> float:
        return statistics.median(self.meanwhile) / statistics.median(self.before)


def measure_night(subject: Subject, crew: Crew, plan: Plan, say: Say) -> Night:
    """The night alone, and tills' rounds before another and beside it, half of the wallets each."""
    crew.record_first_sales(subject.wallets, in_flight=BULK_IN_FLIGHT)
    day = datetime.now(UTC).date() - timedelta(days=2)
    _load(subject, plan, say)
    subject.settle()
    token = subject.token
    address = subject.platform.grpc_address("ledger")
    with PointsSteps(address=address, token=token) as steps:
        start = time.monotonic()
        said = steps[EXPIRE_LOTS].close(day)
        seconds = time.monotonic() - start
        say(f"night over {plan.night_wallets * LOTS_EACH:,} lots: {seconds:.1f} s, {said}")
        sales_per_second(crew, plan)
        before = [sales_per_second(crew, plan) for _ in range(plan.rounds)]
        # The next lot of every wallet is due a month later; a day that is over needs no waiting.
        _bring_forward(subject)
        with ThreadPoolExecutor(1, thread_name_prefix="night") as pool:
            running: Future[str] = pool.submit(steps[EXPIRE_LOTS].close, day + timedelta(days=1))
            meanwhile: list[float] = []
            while len(meanwhile) < plan.rounds and not running.done():
                meanwhile.append(sales_per_second(crew, plan))
            say(running.result())
    found = Night(
        wallets=plan.night_wallets,
        lots=plan.night_wallets * LOTS_EACH,
        seconds=seconds,
        points=plan.night_wallets * POINTS_EACH,
        before=tuple(before),
        meanwhile=tuple(meanwhile),
    )
    say(
        f"tills {statistics.median(before):,.0f}/s before,"
        f" {statistics.median(meanwhile):,.0f}/s during a night"
    )
    return found


def _load(subject: Subject, plan: Plan, say: Say) -> None:
    """Wallets and lots as they stand after a year, without the sales they are of: the night reads
    none, and no audit could prove these books.
    """
    say(f"{plan.night_wallets:,} wallets with {LOTS_EACH} lots each")
    day = datetime.now(UTC).date() - timedelta(days=2)
    ledger = engine(subject.platform.database_urls["ledger"], pool_size=1)
    try:
        with transaction(ledger) as connection:
            found = schemas(connection)
            for place, schema in enumerate(found):
                first = next(
                    wallet
                    for wallet in range(FIRST_WALLET, FIRST_WALLET + len(found))
                    if shard_of(wallet, len(found)) == place
                )
                for statement in (HOLDINGS, LOTS):
                    connection.exec_driver_sql(
                        statement.format(
                            schema=schema,
                            first=first,
                            last=FIRST_WALLET + plan.night_wallets - 1,
                            shards=len(found),
                            lots=LOTS_EACH,
                            points=POINTS_EACH,
                            day=day,
                        )
                    )
        with ledger.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for schema in found:
                connection.exec_driver_sql(f"VACUUM ANALYZE {schema}.lots")
                connection.exec_driver_sql(f"VACUUM ANALYZE {schema}.wallets")
    finally:
        ledger.dispose()


def _bring_forward(subject: Subject) -> None:
    """Let the next lot of every wallet be due at the close of the next day."""
    day = datetime.now(UTC).date()
    ledger = engine(subject.platform.database_urls["ledger"], pool_size=1)
    try:
        with transaction(ledger) as connection:
            for schema in schemas(connection):
                connection.exec_driver_sql(
                    SECOND_LOTS.format(schema=schema, first=FIRST_WALLET), (day,)
                )
    finally:
        ledger.dispose()
