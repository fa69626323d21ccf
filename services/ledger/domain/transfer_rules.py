"""How many points members may send each other, and how often. Pure; time is an argument.

Times are microseconds since 1970-01-01 UTC.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from services.ledger.domain.point_life import MICROS_PER_DAY
from services.ledger.domain.refusals import (
    TransferLimitReached,
    TransfersOff,
    TransferTooLarge,
    TransferTooSmall,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What a member sent or was sent counts for so long.
PERIOD_DAYS = 30
PERIOD = PERIOD_DAYS * MICROS_PER_DAY


class TransferRules(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a policy version allows. Caps of points are zero where there is none."""

    points_min: int = 1
    points_max: int = 0
    # In any 30 days, over all wallets of a member.
    points_sent_max: int = 0
    points_received_max: int = 0
    # In any 24 hours.
    transfers_per_day_max: int = 10

    @property
    def largest(self) -> int | None:
        """The most points of one transfer, whatever was sent before; None without a cap."""
        caps = (self.points_max, self.points_sent_max, self.points_received_max)
        return min((cap for cap in caps if cap), default=None)


class Sent(msgspec.Struct, frozen=True):
    """What a member sent before."""

    time: int
    points: int


def check_transfer(
    rules: TransferRules | None, points: int, *, sent: Sequence[Sent], received: int, now: int
) -> None:
    """sent is what the sender sent in the last 30 days, the oldest first; received how many points
    the receiver was sent in them. Refuses: TransfersOff, TransferTooSmall, TransferTooLarge,
    TransferLimitReached.
    """
    if rules is None:
        raise TransfersOff("members cannot send each other points")
    _check_size(rules, points)
    if rules.points_sent_max:
        times = [(each.time + PERIOD, each.points) for each in sent]
        _check_room("points_sent", points, times, rules.points_sent_max)
    last_day = [each for each in sent if each.time > now - MICROS_PER_DAY]
    _check_room(
        "transfers_per_day",
        1,
        [(each.time + MICROS_PER_DAY, 1) for each in last_day],
        rules.transfers_per_day_max,
    )
    if rules.points_received_max and received + points > rules.points_received_max:
        # How much others sent is not for the sender to know.
        raise TransferLimitReached(
            f"a member can be sent {rules.points_received_max} points in {PERIOD_DAYS} days",
            limit="points_received",
        )


def _check_size(rules: TransferRules, points: int) -> None:
    if points < rules.points_min:
        raise TransferTooSmall(
            f"{points} points, {rules.points_min} are the fewest", points_min=str(rules.points_min)
        )
    if rules.largest is not None and points > rules.largest:
        raise TransferTooLarge(
            f"{points} points, {rules.largest} are the most", points_max=str(rules.largest)
        )


def _check_room(limit: str, wanted: int, counted: Sequence[tuple[int, int]], most: int) -> None:
    """counted are times until which something counts, the soonest first, with how much."""
    left = most - sum(amount for _, amount in counted)
    if wanted <= left:
        return
    freed, until = left, 0
    for until_then, amount in counted:
        if freed < wanted:
            freed, until = freed + amount, until_then
    raise TransferLimitReached(
        f"{wanted} wanted, {max(left, 0)} left of {most} ({limit})",
        limit=limit,
        left=str(max(left, 0)),
        until=(EPOCH + timedelta(microseconds=until)).isoformat(),
    )
