"""PostgreSQL: engines, transactions and arrays as parameters."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.plumbing.sql_state import sql_state

# A statement that runs longer, or waits longer for a lock, is a fault and must not pile up others.
STATEMENT_TIMEOUT_MS = 60_000
LOCK_TIMEOUT_MS = 20_000
CONNECT_TIMEOUT_SECONDS = 5
NO_SETTINGS: Mapping[str, str] = {}
NO_ARGUMENTS: Mapping[str, object] = {}
# A plan for a table that was small must not outlive that; who looks up by keys alone may keep it.
PLANNED_ANEW = {"plan_cache_mode": "force_custom_plan"}
AFTER_COMMIT = "after commit"


def engine(
    url: str | URL,
    *,
    pool_size: int = 8,
    settings: Mapping[str, str] = NO_SETTINGS,
    checks_first: bool = True,
    connect_args: Mapping[str, object] = NO_ARGUMENTS,
) -> Engine:
    """An engine with a bounded pool and bounded statements, in UTC.

    settings are PostgreSQL's own, for every session of the engine. checks_first asks a connection
    whether it still lives before each use; who tries again by itself can do without. connect_args
    are the driver's.
    """
    created = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        # Nobody keeps any, and SQLAlchemy would ask the database for them with every connection.
        use_native_hstore=False,
        # The one used last knows tables and statements best.
        pool_use_lifo=True,
        pool_timeout=CONNECT_TIMEOUT_SECONDS,
        pool_pre_ping=checks_first,
        # Statements' parameters carry personal data; errors, and so logs, must not.
        hide_parameters=True,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "options": " ".join(
                f"-c {name}={value}" for name, value in {**PLANNED_ANEW, **settings}.items()
            ),
            **connect_args,
        },
    )
    event.listen(created, "connect", _bound_session)
    return created


def _bound_session(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}; SET lock_timeout = {LOCK_TIMEOUT_MS};"
            "SET timezone = 'UTC'"
        )
    connection.commit()


@contextmanager
def transaction(source: Engine) -> Iterator[Connection]:
    """One visible transaction: committed at the end of the block, rolled back when it raises."""
    with source.begin() as connection:
        # A connection of the pool may have been left by a transaction that was rolled back.
        connection.info.pop(AFTER_COMMIT, None)
        yield connection
        actions: dict[str, Callable[[], None]] = connection.info.pop(AFTER_COMMIT, {})
    for action in actions.values():
        action()


@contextmanager
def looking(source: Engine) -> Iterator[Connection]:
    """A connection each of whose statements is a transaction of its own: a visible one around a
    single look costs several times as much.
    """
    with source.connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        # The driver's own switch. SQLAlchemy's level AUTOCOMMIT ends in a statement each time.
        driver.autocommit = True
        try:
            yield connection
        finally:
            if not driver.closed:
                driver.autocommit = False


def after_commit(connection: Connection, key: str, action: Callable[[], None]) -> None:
    """Do something once the connection's `transaction` is committed, once for each key; lost with
    the process, so nothing may depend on it.
    """
    connection.info.setdefault(AFTER_COMMIT, {})[key] = action


def connection_was_lost(error: Exception) -> bool:
    """Whether the server went away; what became of the transaction, even its COMMIT, is unknown."""
    if isinstance(error, InterfaceError):
        return True
    if isinstance(error, OperationalError):
        return error.connection_invalidated or sql_state(error) in _GOING_AWAY
    return isinstance(error, DBAPIError) and error.connection_invalidated


def database_is_away(error: Exception) -> bool:
    """Whether work failed because the database does not answer, or answers too few at a time."""
    return isinstance(error, PoolTimeoutError) or connection_was_lost(error)


# Without a code the connection broke; class 57P is the server shutting down, crashing or starting.
_GOING_AWAY = {None, "57P01", "57P02", "57P03"}


@contextmanager
def driver_errors(connection: Connection, statement: str) -> Iterator[None]:
    """While a driver is used directly, let its errors be SQLAlchemy's, as everywhere else.

    A connection that broke is invalidated. statement says what was run, without its values.
    """
    dialect: Any = connection.dialect
    driver = connection.connection.dbapi_connection
    try:
        yield
    except dialect.loaded_dbapi.Error as error:
        lost = bool(dialect.is_disconnect(error, driver, None))
        if lost:
            connection.invalidate(error)
        raise DBAPIError.instance(
            statement,
            None,
            error,
            dialect.loaded_dbapi.Error,
            hide_parameters=True,
            connection_invalidated=lost,
        ) from None


def array(values: Iterable[object]) -> str:
    """A PostgreSQL array literal of numbers or other values that need no quoting.

    One text parameter a column is several times cheaper for client and server than a list, which
    psycopg2 renders as an ARRAY[...] expression of that many constants.
    """
    return "{" + ",".join(map(str, values)) + "}"


def text_array(values: Iterable[str | None]) -> str:
    """A PostgreSQL array literal of texts; None is NULL."""
    return "{" + ",".join(map(_quoted, values)) + "}"


def _quoted(value: str | None) -> str:
    if value is None:
        return "NULL"
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
