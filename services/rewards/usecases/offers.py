"""What members are offered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Engine

from services.plumbing.database import transaction
from services.rewards.domain.offering import (
    Place,
    Shown,
    Standing,
    member_left,
    price,
    stock_left,
    why_not,
)
from services.rewards.domain.rewards import Offer
from services.rewards.storage import catalogue, members, people, pools, quotas

# Read at once at least, for some may not be for the member.
SLICE_MIN = 50
ANYWHERE = Place()


@dataclass(frozen=True, slots=True)
class Looker:
    """Who looks, and where; None is nobody we know."""

    member_id: UUID | None = None
    place: Place = ANYWHERE


def list_offers(
    database: Engine, looker: Looker, *, after: str, limit: int, now: datetime
) -> list[Shown]:
    """What somebody is offered now, the next by name. Refuses: MemberMerged."""
    with transaction(database) as connection:
        everybody = _everybody(connection, looker)
        standing = standing_of(connection, looker.member_id, now)
        offers: list[Offer] = []
        slice_size = max(limit, SLICE_MIN)
        while len(offers) < limit:
            some = catalogue.offers_after(connection, after, limit=slice_size)
            offers += [
                offer
                for offer in some
                if why_not(offer.definition, standing, looker.place, now=now) is None
            ]
            if len(some) < slice_size:
                break
            after = some[-1].reward_id
        return _show(connection, offers[:limit], standing, everybody, looker.place, now=now)


def standing_of(connection: Connection, member_id: UUID | None, now: datetime) -> Standing:
    if member_id is None:
        return Standing()
    return people.standings(connection, [member_id], now)[member_id]


def _everybody(connection: Connection, looker: Looker) -> list[UUID]:
    """Who looks, by every name that is theirs now. Refuses: MemberMerged."""
    return members.all_of(connection, looker.member_id) if looker.member_id is not None else []


def _show(
    connection: Connection,
    offers: Sequence[Offer],
    standing: Standing,
    everybody: Sequence[UUID],
    place: Place,
    *,
    now: datetime,
) -> list[Shown]:
    """Offers as somebody of this standing sees them."""
    reward_ids = [offer.reward_id for offer in offers]
    stock = quotas.taken_of_stock(connection, reward_ids, day=now.date(), store=place.store)
    own = (
        quotas.taken_by_members(connection, everybody, reward_ids, day=now.date())
        if everybody
        else {}
    )
    codes = _codes_left(connection, offers)
    return [
        Shown(
            offer=offer,
            points=price(offer.definition, standing),
            stock_left=_least(
                stock_left(offer.stock, stock[offer.reward_id], store=place.store),
                codes.get(_pool(offer)),
            ),
            member_left=member_left(offer.definition.member_limits, own.get(offer.reward_id, {})),
        )
        for offer in offers
    ]


def _codes_left(connection: Connection, offers: Sequence[Offer]) -> dict[str, int]:
    """Codes left in the pools of offers, where they are few."""
    wanted = sorted({_pool(offer) for offer in offers} - {""})
    found = pools.codes_left(connection, wanted) if wanted else {}
    return {pool: left for pool, left in found.items() if left < pools.LEFT_COUNTED_MAX}


def _pool(offer: Offer) -> str:
    return offer.definition.voucher.pool if offer.definition.voucher is not None else ""


def _least(one: int | None, other: int | None) -> int | None:
    known = [number for number in (one, other) if number is not None]
    return min(known) if known else None
