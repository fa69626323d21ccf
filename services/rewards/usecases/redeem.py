"""The way forward of redemptions: begun, reserved, completed, many at a time.

Every step can be done again with the same: who finds that somebody did it before gets what stands
on record.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from sqlalchemy import Connection, Engine

from services.plumbing.database import transaction
from services.plumbing.errors import Refused
from services.rewards import events
from services.rewards.domain import buying
from services.rewards.domain.quotas import Claim, QuotaKey, claim, looked_at, pieces, take
from services.rewards.domain.refusals import MemberErased, OutOfStock, RequestIdReused
from services.rewards.domain.remembering import remembered
from services.rewards.domain.rewards import Offer
from services.rewards.domain.saga import Asked, Redemption, Step
from services.rewards.domain.vouchers import Voucher
from services.rewards.storage import (
    catalogue,
    members,
    people,
    pools,
    quotas,
    redemptions,
    vouchers,
)
from services.rewards.storage.vouchers import Issue
from services.rewards.usecases.members import revoke_of_erased


@dataclass(frozen=True, slots=True)
class Beginning:
    """A redemption to begin, under an id of its own."""

    id: UUID
    request_id: UUID
    asked: Asked


@dataclass(frozen=True, slots=True)
class Held:
    """A redemption whose points the ledger holds."""

    redemption: Redemption
    hold: str


@dataclass(frozen=True, slots=True)
class Captured:
    """A redemption whose points the ledger has burned."""

    redemption: Redemption
    burn: str


@dataclass(frozen=True, slots=True)
class Given:
    """A redemption and what the member got, if that is a voucher."""

    redemption: Redemption
    voucher: Voucher | None = None


Command: TypeAlias = Beginning | Held | Captured


def advance(
    database: Engine, commands: Sequence[Command], *, now: datetime
) -> list[Given | Refused]:
    """Put on record what is begun; reserve where points are held, and give where they are burned.

    What was asked before, or brought further by somebody else, is answered as it stands.
    Refuses each by itself: RequestIdReused.
    """
    beginnings = [each for each in commands if isinstance(each, Beginning)]
    others = [each for each in commands if not isinstance(each, Beginning)]
    with transaction(database) as connection:
        begun = iter(_begin(connection, beginnings, now))
        advanced = _advance(connection, others, now)
    return [
        next(begun) if isinstance(each, Beginning) else advanced[each.redemption.id]
        for each in commands
    ]


def _begin(
    connection: Connection, wanted: Sequence[Beginning], now: datetime
) -> list[Given | Refused]:
    if not wanted:
        return []
    begun = _begun(connection, wanted, now)
    added = redemptions.add(connection, begun, now)
    earlier = {each.request_id for each in begun if each.id not in added}
    known = redemptions.of_requests(connection, earlier) if earlier else {}
    return [
        Given(new) if new.id in added else _as_asked(known[new.request_id], each.asked)
        for new, each in zip(begun, wanted, strict=True)
    ]


def _begun(connection: Connection, wanted: Sequence[Beginning], now: datetime) -> list[Redemption]:
    asking = {each.asked.member_id for each in wanted}
    rewards = {each.asked.reward_id for each in wanted}
    barred = members.barred(connection, asking)
    standings = people.standings(connection, asking, now)
    offers = catalogue.offers_since(connection, rewards, now - buying.HONOURED)
    return [
        buying.begin(
            each.asked,
            offers.get(each.asked.reward_id),
            standings[each.asked.member_id],
            barred=barred.get(each.asked.member_id),
            redemption_id=each.id,
            request_id=each.request_id,
            now=now,
        )
        for each in wanted
    ]


def _as_asked(found: Redemption, asked: Asked) -> Given | Refused:
    return Given(found) if found.fingerprint == asked.fingerprint() else RequestIdReused()


def _advance(
    connection: Connection, commands: Sequence[Held | Captured], now: datetime
) -> dict[UUID, Given]:
    """By the redemption."""
    if not commands:
        return {}
    standing = redemptions.lock(connection, {each.redemption.id for each in commands})
    holds = {each.redemption.id: each.hold for each in commands if isinstance(each, Held)}
    burns = {each.redemption.id: each.burn for each in commands if isinstance(each, Captured)}
    held = [standing[each] for each in holds if standing[each].step is Step.HOLDING]
    captured = [standing[each] for each in burns if standing[each].step is Step.CAPTURING]
    offers = _offers(connection, [*held, *captured])
    # Known only now that they are locked: an erasure waits for who has them.
    erased = members.erased(connection, {each.member_id for each in standing.values()})
    gone = [each for each in held if each.member_id in erased]
    kept = [each for each in held if each.member_id not in erased]
    given = [
        *(Given(_reserved(each, holds[each.id], MemberErased())) for each in gone),
        *_reserve(connection, kept, holds, offers, now),
        *_give(connection, captured, burns, offers, erased, now),
    ]
    if given:
        redemptions.record(connection, [each.redemption for each in given], now)
    advanced = {each.redemption.id: each for each in given}
    return {
        each: advanced.get(each) or as_it_stands(connection, standing[each]) for each in standing
    }


def as_it_stands(connection: Connection, redemption: Redemption) -> Given:
    """A redemption with its voucher, if it has one."""
    if redemption.voucher_id is None:
        return Given(redemption)
    return Given(redemption, vouchers.of_redemptions(connection, [redemption.id])[redemption.id])


def _reserve(
    connection: Connection,
    held: Sequence[Redemption],
    holds: Mapping[UUID, str],
    offers: Mapping[UUID, Offer],
    now: datetime,
) -> list[Given]:
    """Take a piece of stock, of the member's limits and of the code pool for each, in this order.

    Where one is lacking, the redemption goes back.
    """
    if not held:
        return []
    return [
        Given(_reserved(redemption, holds[redemption.id], answer))
        for redemption, answer in zip(held, _take(connection, held, offers, now), strict=True)
    ]


def _reserved(
    redemption: Redemption, hold: str, answer: tuple[QuotaKey, ...] | Refused
) -> Redemption:
    if isinstance(answer, Refused):
        return redemption.to(Step.RELEASING, hold=hold, refusal=remembered(answer))
    return redemption.to(Step.CAPTURING, hold=hold, taken=answer)


def _take(
    connection: Connection,
    wanted: Sequence[Redemption],
    offers: Mapping[UUID, Offer],
    now: datetime,
) -> list[tuple[QuotaKey, ...] | Refused]:
    """What each got, or why not; what is got is counted."""
    claims = _claims(connection, wanted, offers, now)
    taken = quotas.lock(connection, looked_at(claims))
    refusals = take(claims, taken)
    for number in _without_code(connection, wanted, offers, refusals):
        refusals[number] = OutOfStock("codes")
    answers = [
        tuple(each) if refusal is None else refusal
        for each, refusal in zip(claims, refusals, strict=True)
    ]
    quotas.add(connection, pieces([each for each in answers if not isinstance(each, Refused)]))
    return answers


def _claims(
    connection: Connection,
    wanted: Sequence[Redemption],
    offers: Mapping[UUID, Offer],
    now: datetime,
) -> list[Claim]:
    limited = {each.member_id for each in wanted if offers[each.id].definition.member_limits}
    together = members.together(connection, limited) if limited else {}
    return [
        claim(
            (offer := offers[each.id]).reward_id,
            offer.stock,
            offer.definition.member_limits,
            member_id=each.member_id,
            others=together.get(each.member_id, ()),
            store=each.store,
            day=now.date(),
        )
        for each in wanted
    ]


def _without_code(
    connection: Connection,
    wanted: Sequence[Redemption],
    offers: Mapping[UUID, Offer],
    refusals: Sequence[Refused | None],
) -> list[int]:
    """The places of those for whom the pool of codes, of which they want one, has none left."""
    drawing = {}
    for number, (redemption, refusal) in enumerate(zip(wanted, refusals, strict=True)):
        voucher = offers[redemption.id].definition.voucher
        if refusal is None and voucher is not None and voucher.pool:
            drawing[redemption.id] = (number, voucher.pool)
    if not drawing:
        return []
    pairs = [(redemption_id, pool) for redemption_id, (_, pool) in drawing.items()]
    got = pools.take_codes(connection, pairs)
    return [number for redemption_id, (number, _) in drawing.items() if redemption_id not in got]


def _give(
    connection: Connection,
    captured: Sequence[Redemption],
    burns: Mapping[UUID, str],
    offers: Mapping[UUID, Offer],
    erased: Collection[UUID],
    now: datetime,
) -> list[Given]:
    """What was bought: the vouchers are issued, and others are told. Those of members who were
    erased meanwhile are worth nothing.
    """
    if not captured:
        return []
    issued = vouchers.issue(connection, _issues(captured, offers), now)
    given = [
        Given(_completed(each, burns[each.id], issued.get(each.id), now), issued.get(each.id))
        for each in captured
    ]
    kinds = [offers[each.id].definition.kind for each in captured]
    events.rewards_redeemed(connection, [each.redemption for each in given], kinds, now=now)
    return [_unless_erased(connection, each, erased, now) for each in given]


def _unless_erased(
    connection: Connection, given: Given, erased: Collection[UUID], now: datetime
) -> Given:
    voucher = given.voucher
    if voucher is None or voucher.member_id not in erased:
        return given
    return Given(given.redemption, revoke_of_erased(connection, voucher, now=now))


def _completed(
    redemption: Redemption, burn: str, voucher: Voucher | None, now: datetime
) -> Redemption:
    return redemption.to(
        Step.COMPLETED,
        burn=burn,
        voucher_id=voucher.id if voucher is not None else None,
        complete_time=now,
    )


def _issues(paid: Sequence[Redemption], offers: Mapping[UUID, Offer]) -> list[Issue]:
    return [
        Issue(each.id, each.member_id, offer.reward_id, offer.version, offer.definition.voucher)
        for each in paid
        if (offer := offers[each.id]).definition.voucher is not None
    ]


def _offers(connection: Connection, wanted: Sequence[Redemption]) -> dict[UUID, Offer]:
    """What each redemption is of, by the redemption."""
    if not wanted:
        return {}
    versions = {each.id: (each.bought.reward_id, each.bought.version) for each in wanted}
    found = catalogue.offers_of(connection, set(versions.values()))
    return {redemption_id: found[version] for redemption_id, version in versions.items()}
