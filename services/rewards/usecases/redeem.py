"""The way forward of redemptions: begun, reserved, completed, many at a time.

Every step can be done again with the same: who finds that somebody did it before gets what stands
on record.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias, TypeVar
from uuid import UUID

from services.plumbing import doorbell, outbox
from services.plumbing.batch_session import BatchSession, BatchTransaction
from services.plumbing.errors import Refused
from services.plumbing.prepared import Session, connection_of
from services.rewards import events
from services.rewards.domain import buying
from services.rewards.domain.quotas import (
    Claim,
    QuotaKey,
    at_once,
    claim,
    looked_at,
    pieces,
    take,
)
from services.rewards.domain.refusals import MemberErased, OutOfStock, RequestIdReused
from services.rewards.domain.remembering import remembered
from services.rewards.domain.rewards import Offer
from services.rewards.domain.saga import Asked, Redemption, Step
from services.rewards.domain.vouchers import Voucher
from services.rewards.storage import (
    beginnings,
    pools,
    quotas,
    redemptions,
    vouchers,
)
from services.rewards.storage.redemptions import Holder
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
# What stands at the step that a command is about.
_Reported = TypeVar("_Reported", Held, Captured)
_Due: TypeAlias = tuple[_Reported, Offer, Holder]


def advance(
    session: BatchSession, commands: Sequence[Command], *, now: datetime
) -> list[Given | Refused]:
    """Put on record what is begun; reserve where points are held, and give where they are burned.

    What was asked before, or brought further by somebody else, is answered as it stands.
    Refuses each by itself: RequestIdReused.
    """
    beginnings = [each for each in commands if isinstance(each, Beginning)]
    others = [each for each in commands if not isinstance(each, Beginning)]
    with session.transaction() as batch:
        advanced = _advance(batch, others, now)
        begun = iter(_begin(batch, beginnings, now))
        batch.commit()
    if any(isinstance(each, Captured) for each in commands):
        doorbell.ring(session.database)
    return [
        next(begun) if isinstance(each, Beginning) else advanced[each.redemption.id]
        for each in commands
    ]


def _begin(
    batch: BatchTransaction, wanted: Sequence[Beginning], now: datetime
) -> list[Given | Refused]:
    if not wanted:
        return []
    begun = _begun(batch, wanted, now)
    added = redemptions.add(batch, begun, now)
    earlier = {each.request_id for each in begun if each.id not in added}
    known = redemptions.of_requests(batch.connection, earlier) if earlier else {}
    return [
        Given(new) if new.id in added else _as_asked(known[new.request_id], each.asked)
        for new, each in zip(begun, wanted, strict=True)
    ]


def _begun(batch: BatchTransaction, wanted: Sequence[Beginning], now: datetime) -> list[Redemption]:
    asking = {each.asked.member_id for each in wanted}
    rewards = {each.asked.reward_id for each in wanted}
    found = beginnings.look(batch, asking, rewards, now=now, since=now - buying.HONOURED)
    return [
        buying.begin(
            each.asked,
            found.offers.get(each.asked.reward_id),
            found.standings[each.asked.member_id],
            barred=found.barred.get(each.asked.member_id),
            redemption_id=each.id,
            request_id=each.request_id,
            now=now,
        )
        for each in wanted
    ]


def _as_asked(found: Redemption, asked: Asked) -> Given | Refused:
    return Given(found) if found.fingerprint == asked.fingerprint() else RequestIdReused()


def _advance(
    batch: BatchTransaction, commands: Sequence[Held | Captured], now: datetime
) -> dict[UUID, Given]:
    """By the redemption."""
    if not commands:
        return {}
    locked = redemptions.lock_to_advance(batch, {each.redemption.id for each in commands})
    # What stands at the step that a command is about is as the command has it.
    held: list[_Due[Held]] = []
    captured: list[_Due[Captured]] = []
    for each in {command.redemption.id: command for command in commands}.values():
        found = locked[each.redemption.id]
        # What stands at the step that a command is about is as the command has it.
        if found.step is not each.redemption.step or found.offer is None:
            continue
        if isinstance(each, Held):
            held.append((each, found.offer, found.holder))
        else:
            captured.append((each, found.offer, found.holder))
    given = [*_reserve(batch, held, now), *_give(batch, captured, now)]
    if given:
        redemptions.record(batch, [each.redemption for each in given], now)
    advanced = {each.redemption.id: each for each in given}
    if len(advanced) < len(locked):
        further = redemptions.lock(batch.connection, locked.keys() - advanced.keys())
        advanced |= {each: as_it_stands(batch, further[each]) for each in further}
    return advanced


def as_it_stands(session: Session, redemption: Redemption) -> Given:
    """A redemption with its voucher, if it has one."""
    if redemption.voucher_id is None:
        return Given(redemption)
    found = vouchers.of_redemptions(connection_of(session), [redemption.id])
    return Given(redemption, found[redemption.id])


def _reserve(batch: BatchTransaction, held: Sequence[_Due[Held]], now: datetime) -> list[Given]:
    """Take a piece of stock, of the member's limits and of the code pool for each, in this order.

    Where one is lacking, or nobody is left to have it, the redemption goes back.
    """
    gone = [each for each, _, holder in held if holder.erased]
    kept = [due for due in held if not due[2].erased]
    return [
        *(Given(_reserved(each, MemberErased())) for each in gone),
        *(
            Given(_reserved(each, answer))
            for (each, _, _), answer in zip(kept, _take(batch, kept, now), strict=True)
        ),
    ]


def _reserved(held: Held, answer: tuple[QuotaKey, ...] | Refused) -> Redemption:
    if isinstance(answer, Refused):
        refusal = remembered(answer)
        return held.redemption.to(Step.RELEASING, hold=held.hold, refusal=refusal)
    return held.redemption.to(Step.CAPTURING, hold=held.hold, taken=answer)


def _take(
    batch: BatchTransaction, wanted: Sequence[_Due[Held]], now: datetime
) -> list[tuple[QuotaKey, ...] | Refused]:
    """What each got, or why not; what is got is counted."""
    if not wanted:
        return []
    claims = [_claim(each.redemption, offer, holder, now) for each, offer, holder in wanted]
    refusals = _take_of_quotas(batch, claims)
    lacking = _without_code(batch, wanted, refusals)
    for number in lacking:
        refusals[number] = OutOfStock("codes")
    returned = pieces([claims[number] for number in lacking])
    quotas.add(batch, {key: -count for key, count in returned.items()})
    return [
        tuple(each) if refusal is None else refusal
        for each, refusal in zip(claims, refusals, strict=True)
    ]


def _claim(redemption: Redemption, offer: Offer, holder: Holder, now: datetime) -> Claim:
    return claim(
        offer.reward_id,
        offer.stock,
        offer.definition.member_limits,
        member_id=redemption.member_id,
        others=holder.others,
        store=redemption.store,
        day=now.date(),
    )


def _take_of_quotas(batch: BatchTransaction, claims: Sequence[Claim]) -> list[Refused | None]:
    """Who got a piece, and is counted: None, or why not."""
    wanted = at_once(claims)
    if wanted is not None and quotas.take(batch, wanted):
        return [None] * len(claims)
    taken = quotas.lock(batch, looked_at(claims))
    refusals = take(claims, taken)
    got = [each for each, refusal in zip(claims, refusals, strict=True) if refusal is None]
    quotas.add(batch, pieces(got))
    return refusals


def _without_code(
    batch: BatchTransaction,
    wanted: Sequence[_Due[Held]],
    refusals: Sequence[Refused | None],
) -> list[int]:
    """The places of those for whom the pool of codes, of which they want one, has none left."""
    drawing = {}
    for number, ((each, offer, _), refusal) in enumerate(zip(wanted, refusals, strict=True)):
        voucher = offer.definition.voucher
        if refusal is None and voucher is not None and voucher.pool:
            drawing[each.redemption.id] = (number, voucher.pool)
    if not drawing:
        return []
    pairs = [(redemption_id, pool) for redemption_id, (_, pool) in drawing.items()]
    got = pools.take_codes(batch.connection, pairs)
    return [number for redemption_id, (number, _) in drawing.items() if redemption_id not in got]


def _give(
    batch: BatchTransaction, captured: Sequence[_Due[Captured]], now: datetime
) -> list[Given]:
    """What was bought: the vouchers are issued, and others are told. Those of members who were
    erased meanwhile are worth nothing.
    """
    if not captured:
        return []
    issued = vouchers.issue(batch, _issues(captured), now)
    given = [_completed(each, issued.get(each.redemption.id), now) for each, _, _ in captured]
    kinds = [offer.definition.kind for _, offer, _ in captured]
    told = events.rewards_redeemed([each.redemption for each in given], kinds, now=now)
    outbox.announce_later(batch, events.SCHEMA, told)
    return [
        _worthless(batch, each, now) if holder.erased else each
        for each, (_, _, holder) in zip(given, captured, strict=True)
    ]


def _worthless(batch: BatchTransaction, given: Given, now: datetime) -> Given:
    if given.voucher is None:
        return given
    return Given(given.redemption, revoke_of_erased(batch.connection, given.voucher, now=now))


def _completed(captured: Captured, voucher: Voucher | None, now: datetime) -> Given:
    completed = captured.redemption.to(
        Step.COMPLETED,
        burn=captured.burn,
        voucher_id=voucher.id if voucher is not None else None,
        complete_time=now,
    )
    return Given(completed, voucher)


def _issues(paid: Sequence[_Due[Captured]]) -> list[Issue]:
    return [
        Issue(
            each.redemption.id,
            each.redemption.member_id,
            offer.reward_id,
            offer.version,
            offer.definition.voucher,
        )
        for each, offer, _ in paid
        if offer.definition.voucher is not None
    ]
