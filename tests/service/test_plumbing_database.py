"""Engines, transactions, migrations and array parameters against PostgreSQL itself."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.plumbing.database import (
    array,
    connection_was_lost,
    database_is_away,
    engine,
    text_array,
    transaction,
)
from services.plumbing.database_work import DatabaseWork
from services.plumbing.embedded_postgres import PostgresServer
from services.plumbing.migrations import migrate
from services.plumbing.prepared import Statement
from tests.service.databases import Databases

ENVIRONMENT = """
from alembic import context
from services.plumbing.migrations import run_migrations
run_migrations(context)
"""
FIRST = """
from alembic import context, op
revision = "0001"
down_revision = None
def upgrade():
    op.execute("CREATE TABLE shelf (id int PRIMARY KEY)")
    for number in range(context.config.attributes.get("count", 0)):
        op.execute(f"INSERT INTO shelf VALUES ({number})")
"""
SECOND = """
from alembic import op
revision = "0002"
down_revision = "0001"
def upgrade():
    op.execute("CREATE TABLE book (id int PRIMARY KEY)")
    op.execute("this is no SQL")
"""

texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"))


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    made = databases.create_empty()
    yield made
    databases.drop(made)


@pytest.fixture
def database(url: str) -> Iterator[Engine]:
    made = engine(url, pool_size=2)
    yield made
    made.dispose()


@pytest.fixture(scope="session")
def any_database(databases: Databases) -> Iterator[Engine]:
    made = engine(databases.create_empty())
    yield made
    made.dispose()


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text(ENVIRONMENT)
    (tmp_path / "versions" / "0001_shelf.py").write_text(FIRST)
    return tmp_path


def tables(database: Engine) -> set[str]:
    with transaction(database) as connection:
        found = connection.exec_driver_sql(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        )
        return set(found.scalars())


DOUBLED = Statement("doubled", "bigint[]", "SELECT n, n * 2 FROM unnest($1) AS n ORDER BY n")
SHELVED = Statement("shelved", "text", "INSERT INTO shelf (id) SELECT length($1)")


def test_a_prepared_statement_is_planned_once_a_session(database: Engine) -> None:
    with transaction(database) as connection:
        connection.exec_driver_sql("CREATE TABLE shelf (id int PRIMARY KEY)")
        assert SHELVED.run(connection, "O'Neill %s") == []
    with pytest.raises(IntegrityError), transaction(database) as connection:
        SHELVED.run(connection, "ten signs!")
    for _ in range(2):
        with transaction(database) as connection:
            assert DOUBLED.run(connection, array([3, 1])) == [(1, 2), (3, 6)]
            assert planned(connection) == {"doubled", "shelved"}


def test_a_new_session_plans_its_statements_anew(database: Engine) -> None:
    def ask_while_the_session_ends() -> None:
        with transaction(database) as connection:
            DOUBLED.run(connection, array([1]))
            number = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            with transaction(database) as other:
                other.exec_driver_sql("SELECT pg_terminate_backend(%s, 5000)", (number,))
            DOUBLED.run(connection, array([1]))

    with pytest.raises(DBAPIError) as lost:
        ask_while_the_session_ends()
    assert connection_was_lost(lost.value)
    for _ in range(2):
        with transaction(database) as one, transaction(database) as other:
            for connection in (one, other):
                assert DOUBLED.run(connection, array([5])) == [(5, 10)]


def planned(connection: Connection) -> set[str]:
    found = connection.exec_driver_sql("SELECT name FROM pg_prepared_statements")
    return set(found.scalars())


def test_transaction_commits_at_the_end_and_rolls_back_when_it_raises(database: Engine) -> None:
    with transaction(database) as connection:
        connection.exec_driver_sql("CREATE TABLE shelf (id int)")
        connection.exec_driver_sql("INSERT INTO shelf VALUES (1)")

    def fail() -> None:
        with transaction(database) as connection:
            connection.exec_driver_sql("INSERT INTO shelf VALUES (2)")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with transaction(database) as connection:
        assert connection.exec_driver_sql("SELECT id FROM shelf").scalars().all() == [1]


def test_sessions_are_in_utc_and_bounded(database: Engine) -> None:
    with transaction(database) as connection:
        shown = [
            connection.exec_driver_sql(f"SHOW {name}").scalar_one()
            for name in ("timezone", "statement_timeout", "lock_timeout")
        ]
    assert shown == ["UTC", "1min", "20s"]


def test_a_wrong_statement_is_not_a_lost_connection(database: Engine) -> None:
    with pytest.raises(ProgrammingError) as wrong, transaction(database) as connection:
        connection.exec_driver_sql("SELECT 1 FROM nowhere")
    assert not connection_was_lost(wrong.value)


def test_a_session_that_was_ended_is_a_lost_connection(database: Engine) -> None:
    def work_while_it_ends() -> None:
        with transaction(database) as connection:
            number = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            with transaction(database) as other:
                other.exec_driver_sql("SELECT pg_terminate_backend(%s, 5000)", (number,))
            connection.exec_driver_sql("SELECT 1")

    with pytest.raises(DBAPIError) as lost:
        work_while_it_ends()
    assert connection_was_lost(lost.value)


def test_a_lock_that_is_not_given_is_not_a_lost_connection(database: Engine) -> None:
    def wait() -> None:
        with transaction(database) as connection:
            connection.exec_driver_sql("SET LOCAL lock_timeout = 10")
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(1)")

    with transaction(database) as holder:
        holder.exec_driver_sql("SELECT pg_advisory_xact_lock(1)")
        with pytest.raises(OperationalError) as refused:
            wait()
    assert not connection_was_lost(refused.value)


def test_broken_connections_are_replaced(database: Engine) -> None:
    with transaction(database) as connection:
        connection.exec_driver_sql("SELECT 1")
    with transaction(database) as connection:
        own = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> %s",
            (own,),
        )
    for _ in range(4):
        with transaction(database) as one, transaction(database) as other:
            for connection in (one, other):
                assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1


def test_a_database_that_is_not_there_is_away(postgres: PostgresServer) -> None:
    nowhere = engine(postgres.url_of("no_such_database"))
    with pytest.raises(OperationalError) as refused, transaction(nowhere):
        pass
    assert database_is_away(refused.value)


def test_a_pool_that_gives_no_connection_in_time_is_away(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database.pool, "_timeout", 0.01)
    with (
        transaction(database),
        transaction(database),
        pytest.raises(PoolTimeoutError) as refused,
        transaction(database),
    ):
        pass
    assert database_is_away(refused.value)


async def test_work_s_own_errors_come_through(database: Engine) -> None:
    work = DatabaseWork(database, threads=1)

    def use(database: Engine, statement: str) -> object:
        with transaction(database) as connection:
            return connection.exec_driver_sql(statement).scalar_one()

    with pytest.raises(ProgrammingError):
        await work.run(use, "SELECT nothing")
    assert await work.run(use, statement="SELECT 7") == 7
    await work.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.none() | texts))
def test_text_array_is_what_it_was(any_database: Engine, values: list[str | None]) -> None:
    with transaction(any_database) as connection:
        found = connection.exec_driver_sql("SELECT %s::text[]", (text_array(values),)).scalar_one()
    assert found == values


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.integers(min_value=-(2**63), max_value=2**63 - 1)))
def test_array_of_numbers_is_what_it_was(any_database: Engine, values: list[int]) -> None:
    with transaction(any_database) as connection:
        found = connection.exec_driver_sql("SELECT %s::bigint[]", (array(values),)).scalar_one()
    assert found == values


def test_migration_is_applied_once_with_its_options(
    url: str, database: Engine, migrations: Path
) -> None:
    migrate(url, migrations, count=3)
    migrate(url, migrations, count=5)
    with transaction(database) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM shelf").scalar_one() == 3


def test_two_migrators_at_once_migrate_once(url: str, database: Engine, migrations: Path) -> None:
    failures: list[Exception] = []

    def run() -> None:
        try:
            migrate(url, migrations, count=2)
        except Exception as error:  # noqa: BLE001 — handed to the test
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with transaction(database) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM shelf").scalar_one() == 2


def test_failed_migration_leaves_the_one_before_it(
    url: str, database: Engine, migrations: Path
) -> None:
    broken = migrations / "versions" / "0002_book.py"
    broken.write_text(SECOND)
    with pytest.raises(ProgrammingError):
        migrate(url, migrations)
    assert tables(database) == {"alembic_version", "shelf"}
    broken.write_text(SECOND.replace('    op.execute("this is no SQL")\n', ""))
    migrate(url, migrations)
    assert tables(database) == {"alembic_version", "shelf", "book"}
