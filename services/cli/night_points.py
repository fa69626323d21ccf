"""The steps of a night that the ledger does: pending points, expiry, holds that are overdue."""

from datetime import date
from types import TracebackType

from loyalty.ledger.v1 import night_pb2, night_pb2_grpc

from services.plumbing.grpc_client import bearer, channel

# A slice takes a second or two; a busy ledger some more.
CALL_SECONDS_MAX = 120.0
ACTIVATE_PENDING = night_pb2.NIGHT_STEP_ACTIVATE_PENDING
EXPIRE_LOTS = night_pb2.NIGHT_STEP_EXPIRE_LOTS
RELEASE_HOLDS = night_pb2.NIGHT_STEP_RELEASE_HOLDS
# What is said of what a step did.
SAID = {
    ACTIVATE_PENDING: ("pending points", "{points:,} points of {wallets:,} wallets available"),
    EXPIRE_LOTS: ("expiry", "{points:,} points of {wallets:,} wallets expired"),
    RELEASE_HOLDS: ("holds", "{wallets:,} overdue holds released"),
}


class PointsStep:
    """Asks the ledger for slice after slice of a step until the day is done. Knows for itself
    which days that are.
    """

    def __init__(
        self,
        step: night_pb2.NightStep.ValueType,
        ledger: night_pb2_grpc.NightServiceStub,
        token: str,
    ) -> None:
        self._step = step
        self._ledger = ledger
        self._metadata = bearer(token)

    @property
    def name(self) -> str:
        return SAID[self._step][0]

    def first_open_day(self) -> date | None:
        """Refuses: RpcError."""
        request = night_pb2.GetNightStepRequest(step=self._step)
        found = self._ledger.GetNightStep(request, metadata=self._metadata).first_open_day
        return date.fromisoformat(found) if found else None

    def close(self, day: date) -> str:
        """Refuses: RpcError."""
        request = night_pb2.RunNightStepRequest(step=self._step, day=day.isoformat())
        answer = self._ledger.RunNightStep(request, metadata=self._metadata)
        while not answer.done:
            answer = self._ledger.RunNightStep(request, metadata=self._metadata)
        said = SAID[self._step][1]
        return said.format(points=answer.day_points, wallets=answer.day_wallets)


class PointsSteps:
    """The ledger's steps over one channel; a context manager."""

    def __init__(self, *, address: str, token: str) -> None:
        self._channel = channel(address, seconds_max=CALL_SECONDS_MAX)
        self._ledger = night_pb2_grpc.NightServiceStub(self._channel)
        self._token = token

    def __enter__(self) -> "PointsSteps":
        self._channel.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._channel.__exit__(kind, error, traceback)

    def __getitem__(self, step: night_pb2.NightStep.ValueType) -> PointsStep:
        return PointsStep(step, self._ledger, self._token)
