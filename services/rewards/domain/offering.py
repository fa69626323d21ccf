"""Who is offered a reward, when and where, at which price, and how many are left."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from services.plumbing.errors import Refused
from services.rewards.domain.refusals import NotOffered
from services.rewards.domain.rewards import (
    Channel,
    Definition,
    MemberLimit,
    Offer,
    Period,
    StockSettings,
)


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a member that decides about rewards."""

    tiers: frozenset[str] = frozenset()
    segments: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody looks or asks; no channel or an empty store is anywhere."""

    channel: Channel | None = None
    store: str = ""


@dataclass(frozen=True, slots=True)
class StockTaken:
    """Pieces that redemptions have or reserve: in all, on a day, and by store."""

    total: int
    day: int
    stores: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Shown:
    """A reward as one member sees it: their price, and what is left. None is not limited."""

    offer: Offer
    points: int
    stock_left: int | None
    member_left: int | None


def price(definition: Definition, standing: Standing) -> int:
    """The lowest price in points that applies to a member."""
    own = [
        priced.points
        for priced in definition.prices
        if not standing.tiers.isdisjoint(priced.tiers)
        or not standing.segments.isdisjoint(priced.segments)
    ]
    return min([definition.points, *own])


def why_not(
    definition: Definition, standing: Standing, place: Place, *, now: datetime
) -> Refused | None:
    """Why a version in force is not offered to a member; None where it is."""
    start = _start(definition, standing)
    if start is not None and now < start:
        return NotOffered("not_yet")
    if definition.end_time is not None and now >= definition.end_time:
        return NotOffered("over")
    if place.channel is not None and not _is_in(place.channel, definition.channels):
        return NotOffered("channel")
    if place.store and not _is_in(place.store, definition.stores):
        return NotOffered("store")
    if definition.tiers and standing.tiers.isdisjoint(definition.tiers):
        return NotOffered("tier")
    if definition.segments and standing.segments.isdisjoint(definition.segments):
        return NotOffered("segment")
    return None


def needs_store(definition: Definition, stock: StockSettings, channel: Channel) -> bool:
    """Whether who asks for it has to say at which store."""
    return channel is Channel.TILL or bool(definition.stores) or bool(stock.stores)


def stock_left(stock: StockSettings, taken: StockTaken, *, store: str = "") -> int | None:
    """Pieces left on the day, at the store where one is named; None where that is not limited."""
    left = []
    if stock.total is not None:
        left.append(stock.total - taken.total)
    if stock.per_day is not None:
        left.append(stock.per_day - taken.day)
    if store in stock.stores:
        left.append(stock.stores[store] - taken.stores.get(store, 0))
    return max(0, min(left)) if left else None


def member_left(limits: tuple[MemberLimit, ...], taken: Mapping[Period, int]) -> int | None:
    """How many more a member may have now; None where that is not limited."""
    left = [limit.most - taken.get(limit.period, 0) for limit in limits]
    return max(0, min(left)) if left else None


def language(definition: Definition, wanted: str) -> str:
    """The language of its texts to show: the wanted one, the same without region, or its own.

    As RFC 4647, section 3.4, looks a language up: from the end, part by part.
    """
    by_lower = {tag.lower(): tag for tag in definition.texts}
    parts = wanted.lower().split("-")
    for length in range(len(parts), 0, -1):
        found = by_lower.get("-".join(parts[:length]))
        if found is not None:
            return found
    return definition.default_language


def _is_in(one: str, among: tuple[str, ...]) -> bool:
    return not among or one in among


def _start(definition: Definition, standing: Standing) -> datetime | None:
    """From when on it is offered to the member; None is always."""
    early = [
        access.start_time for access in definition.early_access if access.tier in standing.tiers
    ]
    return min([definition.start_time, *early]) if definition.start_time is not None else None
