"""The step of a night that decides about tiers: tiering closes the day."""

from contextlib import ExitStack
from datetime import UTC, date, datetime
from types import TracebackType

from loyalty.tiering.v1 import tiering_pb2, tiering_pb2_grpc

from services.cli.hearing import Hearing
from services.plumbing.grpc_client import bearer, channel

# A day of a large programme takes minutes; what it decided is there when it is asked again.
CALL_SECONDS_MAX = 1_800.0
# After a day of selling as fast as the tills can, the bus may have that much left to carry.
HEAR_SECONDS_MAX = 3_600.0
POLL_SECONDS = 0.1


class TiersStep:
    """Closes a day in tiering when it has applied all the ledger announced. A context manager."""

    name = "tiers"

    def __init__(
        self,
        *,
        address: str,
        token: str,
        tiering_database_url: str,
        ledger_database_url: str,
        bus: str = "",
        call_seconds_max: float = CALL_SECONDS_MAX,
        hear_seconds_max: float = HEAR_SECONDS_MAX,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._metadata = bearer(token)
        self._opened = ExitStack()
        self._hearing = Hearing(
            consumer="tiering",
            consumer_url=tiering_database_url,
            source="ledger",
            source_url=ledger_database_url,
            bus=bus,
            seconds_max=hear_seconds_max,
            poll_seconds=poll_seconds,
        )
        self._channel = channel(address, seconds_max=call_seconds_max)
        self._tiers = tiering_pb2_grpc.TierServiceStub(self._channel)

    def __enter__(self) -> "TiersStep":
        self._opened.enter_context(self._channel)
        self._opened.enter_context(self._hearing)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._opened.__exit__(kind, error, traceback)

    def first_open_day(self) -> date | None:
        """Refuses: RpcError."""
        # Of whichever day: the answer is the same.
        request = tiering_pb2.GetDayRequest(day=datetime.now(UTC).date().isoformat())
        found = self._tiers.GetDay(request, metadata=self._metadata).first_open_day
        return date.fromisoformat(found) if found else None

    def close_day(self, day: date) -> tiering_pb2.BusinessDay:
        """Refuses: NotHeard, RpcError."""
        self._hearing.wait()
        request = tiering_pb2.CloseDayRequest(day=day.isoformat())
        return self._tiers.CloseDay(request, metadata=self._metadata).day

    def close(self, day: date) -> str:
        """Refuses: NotHeard, RpcError."""
        closed = self.close_day(day)
        return f"{closed.tier_changes:,} changes by {closed.documents:,} documents"
