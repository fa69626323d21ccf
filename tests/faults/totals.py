"""A small consumer that sums what the ledger posts, in a database of its own.

As a process: `python -m tests.faults.totals`, configured by the environment.
"""

from os import environ

if __name__ == "__main__":
    # Before anything else is imported, as in a service.
    from services.plumbing import green

    green.patch()

from loyalty.ledger.v1 import events_pb2
from nameko.events import event_handler

from services.plumbing.database import array
from services.plumbing.reactions import Database, apply

TABLES = """
    CREATE TABLE totals (
        wallet bigint NOT NULL, kind smallint NOT NULL, points bigint NOT NULL,
        PRIMARY KEY (wallet, kind))"""
ADD = """
    INSERT INTO totals AS t
    SELECT wallet, kind, sum(points)
    FROM unnest(%s::bigint[], %s::smallint[], %s::bigint[]) AS added (wallet, kind, points)
    GROUP BY wallet, kind ORDER BY wallet, kind
    ON CONFLICT (wallet, kind) DO UPDATE SET points = t.points + excluded.points"""


class Totals:
    """Adds every entry to the sum of its wallet."""

    name = "totals"
    database = Database()

    @event_handler("ledger", "loyalty.ledger.v1.EntriesPosted")  # type: ignore[untyped-decorator]
    def entries_posted(self, envelope: bytes) -> None:
        with apply(self.database, self.name, envelope, events_pb2.EntriesPosted) as received:
            if received:
                connection, event = received
                entries = [
                    (document.wallet, entry.kind, entry.points)
                    for document in event.documents
                    for entry in document.entries
                ]
                columns = zip(*entries, strict=True)
                connection.exec_driver_sql(ADD, tuple(array(column) for column in columns))


def main() -> None:
    from services.plumbing import worker
    from services.plumbing.worker_settings import WorkerSettings

    settings = WorkerSettings(
        database_url=environ["TOTALS_DATABASE_URL"],
        worker_metrics_port=int(environ["TOTALS_METRICS_PORT"]),
    )
    worker.run(Totals.name, settings, Totals)


if __name__ == "__main__":
    main()
