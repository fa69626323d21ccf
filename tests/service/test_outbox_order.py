"""Events leave the outbox in the order of the transactions that made them true."""

from collections.abc import Callable

from services.plumbing import outbox
from services.plumbing.database import engine, transaction

INSERT = """
INSERT INTO outbox (xid, id, type, subject, time, data)
SELECT xid::text::xid8, xid::text, 'type', 'subject', now(), '' FROM unnest(ARRAY[99, 101, 98, 100])
    AS xid"""


def test_events_are_read_in_transaction_order_where_the_number_gets_a_digit_longer(
    database: Callable[[str], str],
) -> None:
    source = engine(database("members"))
    with transaction(source) as connection:
        connection.exec_driver_sql(INSERT)
        first = outbox.read(connection, "public", outbox.START, limit=2)
        rest = outbox.read(connection, "public", first[-1].position, limit=10)
    source.dispose()
    assert [stored.event.id for stored in (*first, *rest)] == ["98", "99", "100", "101"]
