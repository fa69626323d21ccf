"""A redemption as a saga: steps over two databases, of which every one can be done twice.

    holding ──▶ capturing ──▶ completed ──▶ cancelling ──▶ cancelled
       │            │
       └────────────┴──▶ releasing ──▶ refused

Each step is on record before what it asks of the ledger is asked, and the ledger's answer is on
record before the next step begins. Whoever finds a redemption on record, after a crash or beside
somebody slower, can go on from there: the ledger knows the request ids, which follow from the
redemption, and answers as it did the first time.

Until the points are captured the way back is open: hold and stock are released. From then on it
goes forward.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Any
from uuid import UUID, uuid5

import msgspec

from services.rewards.domain.quotas import QuotaKey
from services.rewards.domain.rewards import Channel

FINGERPRINT_BYTES = 16


class Step(StrEnum):
    """Where a redemption stands."""

    # The ledger is asked to hold the points. Nothing is taken here yet.
    HOLDING = "holding"
    # Stock, limits and a code are taken; the ledger is asked to capture the points.
    CAPTURING = "capturing"
    # Nothing is taken here any more; the ledger is asked to release the hold.
    RELEASING = "releasing"
    COMPLETED = "completed"
    REFUSED = "refused"
    # The voucher is revoked and stock is given back; the ledger is asked to refund the points.
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


class Call(StrEnum):
    """What a step asks of the ledger."""

    HOLD = "hold"
    CAPTURE = "capture"
    RELEASE = "release"
    REFUND = "refund"


CALLS: Mapping[Step, Call] = {
    Step.HOLDING: Call.HOLD,
    Step.CAPTURING: Call.CAPTURE,
    Step.RELEASING: Call.RELEASE,
    Step.CANCELLING: Call.REFUND,
}
FOLLOWING: Mapping[Step, frozenset[Step]] = {
    Step.HOLDING: frozenset({Step.CAPTURING, Step.RELEASING, Step.REFUSED}),
    Step.CAPTURING: frozenset({Step.COMPLETED, Step.RELEASING}),
    Step.RELEASING: frozenset({Step.REFUSED}),
    Step.COMPLETED: frozenset({Step.CANCELLING}),
    Step.CANCELLING: frozenset({Step.CANCELLED}),
    Step.REFUSED: frozenset(),
    Step.CANCELLED: frozenset(),
}
# Nobody has anything to do there.
RESTING = frozenset(Step) - frozenset(CALLS)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a member asks for, and where. expected_points is the price that they were shown."""

    member_id: UUID
    reward_id: str
    expected_points: int
    channel: Channel
    store: str
    # When, where that was earlier than now.
    business_time: datetime | None = None

    def fingerprint(self) -> bytes:
        """Tells one request from another."""
        return blake2b(repr(self).encode(), digest_size=FINGERPRINT_BYTES).digest()


@dataclass(frozen=True, slots=True)
class Bought:
    """What a redemption is of, at what price; money is in minor units of the currency."""

    reward_id: str
    version: int
    points: int
    money_minor: int
    currency_code: str


class Redemption(msgspec.Struct, frozen=True):
    """A redemption as it stands on record."""

    id: UUID
    request_id: UUID
    fingerprint: bytes
    member_id: UUID
    bought: Bought
    channel: Channel
    store: str
    create_time: datetime
    # As of when the points are burned.
    business_time: datetime
    step: Step
    # Why it is undone, as domain.remembering writes it.
    refusal: str = ""
    # The ledger's names, as soon as they are known.
    hold: str = ""
    burn: str = ""
    # Of what it has a piece.
    taken: tuple[QuotaKey, ...] = ()
    voucher_id: UUID | None = None
    complete_time: datetime | None = None
    cancel_time: datetime | None = None
    cancel_reason: str = ""

    @property
    def rests(self) -> bool:
        return self.step in RESTING

    def request_id_of(self, call: Call) -> UUID:
        """Under which the ledger knows a call of this redemption, whoever makes it."""
        return uuid5(self.id, call)

    def to(self, step: Step, **changes: Any) -> "Redemption":
        """As it stands after a step. Refuses: ValueError where that step does not follow."""
        if step not in FOLLOWING[self.step]:
            raise ValueError(f"{step} does not follow {self.step}")
        return msgspec.structs.replace(self, step=step, **changes)
