"""The night's work on points: which day is next, who is due, what was done."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import Connection, Engine

from services.ledger.domain import night
from services.ledger.domain.documents import Command
from services.ledger.domain.night import Step, cutoff_of
from services.ledger.domain.refusals import DayNotOver
from services.ledger.storage import holds, lots
from services.ledger.storage import night as stored
from services.ledger.storage.night import DayDone
from services.ledger.storage.shards import schemas
from services.plumbing.database import transaction


@dataclass(frozen=True, slots=True)
class Nights:
    """clock answers microseconds since 1970-01-01 UTC."""

    engine: Engine
    clock: Callable[[], int]

    def first_open_day(self, step: Step) -> date | None:
        """The first day a step is still to be done for; None while nothing was ever posted."""
        with transaction(self.engine) as connection:
            newest = stored.newest(connection, step)
            if newest is not None:
                return newest.day + timedelta(days=newest.done)
            return stored.first_day(connection, schemas(connection))

    def slice(self, step: Step, day: date, *, wallets_max: int) -> DayDone | list[Command]:
        """What is to be asked of some wallets that have something due by a day; what the step did
        for the day where nothing is left to do. A later day stands for those before it.

        Refuses: DayNotOver.
        """
        if cutoff_of(day) > self.clock():
            raise DayNotOver(f"{day} is not over")
        with transaction(self.engine) as connection:
            done_day = stored.done_day(connection, step)
            if done_day is not None and done_day >= day:
                return stored.find(connection, step, day) or DayDone(day, 0, 0, done=True)
            commands = self._all_due(connection, step, day, limit=wallets_max)
            if commands:
                return commands
            return stored.add(connection, step, day, wallets=0, points=0, done=True)

    def note(self, step: Step, day: date, *, wallets: int, points: int) -> DayDone:
        """Note what a slice did; the step is done for the day where nothing more is due."""
        with transaction(self.engine) as connection:
            # A slice that was not full says nothing: the lots it was read from may be of few
            # wallets.
            done = not self._all_due(connection, step, day, limit=1)
            return stored.add(connection, step, day, wallets=wallets, points=points, done=done)

    def _all_due(
        self, connection: Connection, step: Step, day: date, *, limit: int
    ) -> list[Command]:
        found: list[Command] = []
        for schema in schemas(connection):
            if len(found) < limit:
                found += self._due(connection, schema, step, day, limit=limit - len(found))
        return found

    def _due(
        self, connection: Connection, schema: str, step: Step, day: date, *, limit: int
    ) -> list[Command]:
        cutoff = cutoff_of(day)
        match step:
            case Step.ACTIVATE_PENDING:
                ids = lots.due_wallets(connection, schema, lots.DUE_PENDING, cutoff, limit=limit)
                return [night.activation(wallet_id, cutoff) for wallet_id in ids]
            case Step.EXPIRE_LOTS:
                ids = lots.due_wallets(connection, schema, lots.DUE_EXPIRY, cutoff, limit=limit)
                return [night.expiry(wallet_id, cutoff) for wallet_id in ids]
            case Step.RELEASE_HOLDS:
                overdue = holds.overdue(connection, schema, self.clock(), limit=limit)
                return [night.release(*key) for key in overdue]

    def overdue_holds(self, *, limit: int) -> list[Command]:
        """The releases that are due by the clock, whatever the business day."""
        with transaction(self.engine) as connection:
            now = self.clock()
            return [
                night.release(*key)
                for schema in schemas(connection)
                for key in holds.overdue(connection, schema, now, limit=limit)
            ]
