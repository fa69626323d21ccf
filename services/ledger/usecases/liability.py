"""What the programme owes its members, read from the tables while tills go on."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Engine

from services.ledger.domain.liability import (
    Books,
    Changed,
    Liability,
    changed_by,
    liability_of,
    together,
)
from services.ledger.domain.point_life import PointLife
from services.ledger.storage import liability
from services.ledger.storage.shards import count, schema
from services.ledger.storage.snapshot import take_snapshot
from services.plumbing.database import transaction


@dataclass(frozen=True, slots=True)
class Liabilities:
    engine: Engine

    def at(self, as_of: date, what_if: PointLife | None = None) -> tuple[Liability, Changed | None]:
        """The liability at the end of a day, and what another life of points would make of it."""
        books = self._books(as_of)
        changed = changed_by(books, as_of, what_if) if what_if is not None else None
        return liability_of(books, as_of), changed

    def _books(self, as_of: date) -> Books:
        """Shard by shard, each as it stands at one moment: what two of them say never meets."""
        with transaction(self.engine) as connection:
            shards = count(connection)
        parts = []
        for shard in range(shards):
            with transaction(self.engine) as connection:
                take_snapshot(connection)
                parts.append(liability.books(connection, schema(shard), as_of))
        return together(parts)
