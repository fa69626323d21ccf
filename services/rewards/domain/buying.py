"""Whether a member gets a reward at the price that they were shown."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from services.plumbing.errors import Refused
from services.rewards.domain.offering import Place, Standing, needs_store, price, why_not
from services.rewards.domain.refusals import (
    NotOffered,
    PriceChanged,
    RewardNotFound,
    StoreNeeded,
)
from services.rewards.domain.remembering import remembered
from services.rewards.domain.rewards import Offer
from services.rewards.domain.saga import Asked, Bought, Redemption, Step

# For so long a price that was shown is honoured.
HONOURED = timedelta(minutes=1)


def begin(
    asked: Asked,
    offers: Sequence[Offer] | None,
    standing: Standing,
    *,
    barred: Refused | None,
    redemption_id: UUID,
    request_id: UUID,
    now: datetime,
) -> Redemption:
    """A redemption at its first step, or refused for good. offers are as of `choose`.

    barred says why the member gets nothing at all.
    """
    chosen = barred or choose(asked, offers, standing, now=now)
    refused = isinstance(chosen, Refused)
    return Redemption(
        id=redemption_id,
        request_id=request_id,
        fingerprint=asked.fingerprint(),
        member_id=asked.member_id,
        bought=Bought(asked.reward_id, 0, 0, 0, "") if isinstance(chosen, Refused) else chosen,
        channel=asked.channel,
        store=asked.store,
        create_time=now,
        business_time=asked.business_time or now,
        step=Step.REFUSED if refused else Step.HOLDING,
        refusal=remembered(chosen) if isinstance(chosen, Refused) else "",
        complete_time=now if refused else None,
    )


def choose(
    asked: Asked, offers: Sequence[Offer] | None, standing: Standing, *, now: datetime
) -> Bought | Refused:
    """The version to buy: the newest of those shown within the last minute at the price expected.

    offers are the versions in force since then, newest first; None where there is no such reward.
    """
    if offers is None:
        return RewardNotFound()
    answer: Refused = NotOffered("not_published")
    for offer in offers:
        refusal = _why_not(asked, offer, standing, now=now)
        points = price(offer.definition, standing)
        if refusal is None and points == asked.expected_points:
            money = offer.definition.money_minor
            currency_code = offer.definition.currency_code
            return Bought(offer.reward_id, offer.version, points, money, currency_code)
        if offer.end_time is None:
            answer = refusal or PriceChanged(points)
    return answer


def _why_not(asked: Asked, offer: Offer, standing: Standing, *, now: datetime) -> Refused | None:
    if not asked.store and needs_store(offer.definition, offer.stock, asked.channel):
        return StoreNeeded()
    return why_not(offer.definition, standing, Place(asked.channel, asked.store), now=now)
