"""Shared holds: each step that a hold over several wallets takes is a transaction of its own here,
and calls on wallets lie between two of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, Engine

from services.ledger.domain import refusals, sharing_steps
from services.ledger.domain.circumstances import Rules
from services.ledger.domain.documents import Balance, Command, Document
from services.ledger.domain.point_life import Shortfall
from services.ledger.domain.shared_holds import (
    UNDER_WAY,
    Answer,
    AskedHold,
    GivenBack,
    Move,
    MoveKind,
    Part,
    SharedHold,
    SharedState,
    given_back,
    planned_anew,
    prepared,
    replanned,
    share_out,
)
from services.ledger.storage import directory, merges, policies
from services.ledger.storage import shared_holds as stored
from services.ledger.storage.shards import count
from services.ledger.usecases import pools
from services.ledger.usecases.read import balances_of
from services.plumbing.database import transaction
from services.plumbing.errors import Refused


class NoWallets(refusals.InsufficientPoints):
    """Nobody whose points could be spent has a wallet: there is nothing to remember it by."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a step of a hold asks of wallets, with the parts' ordinals; one by one where the first
    refusal ends it.
    """

    shared_hold_id: str
    step: int
    one_by_one: bool
    commands: Sequence[tuple[int, Command]]


@dataclass(frozen=True, slots=True)
class SharedHolds:
    """clock answers microseconds since 1970-01-01 UTC."""

    engine: Engine
    clock: Callable[[], int]

    def move_of(self, request_id: str, body_hash: str) -> Move | None:
        """A request that was kept before. Refuses: RequestIdReused."""
        with transaction(self.engine) as connection:
            return known(connection, request_id, body_hash)

    def prepare(self, asked: AskedHold) -> Move:
        """Write down which wallets are to give how much, or that there is too little; once.
        Refuses: RequestIdReused, NoWallets.
        """
        with transaction(self.engine) as connection:
            found = known(connection, asked.request_id, asked.body_hash)
            if found is not None:
                return found
            hold, refusal = plan(connection, asked, self.clock())
            move = Move(
                asked.request_id,
                asked.body_hash,
                hold.shared_hold_id if hold else None,
                MoveKind.HOLD,
                asked.points,
                "",
                asked.actor,
                asked.business_time,
                self.clock(),
                refusal=refusal,
            )
            if stored.add_move(connection, move):
                if hold is not None:
                    stored.add(connection, hold)
                return move
        found = self.move_of(asked.request_id, asked.body_hash)
        assert found is not None  # noqa: S101 — another transaction kept it first
        return found

    def begin(self, move: Move) -> Move | None:
        """Set about a request; None while another one about the same hold is under way. A refusal
        is kept as its answer. Refuses: HoldNotFound, BurnNotFound, RequestIdReused.
        """
        with transaction(self.engine) as connection:
            hold = stored.find(connection, move.shared_hold_id or "", lock=True)
            found = known(connection, move.request_id, move.body_hash)
            if found is not None:
                return found
            if hold is None:
                raise missing(move)
            if hold.state in UNDER_WAY:
                return None
            try:
                begun = sharing_steps.begin(hold, move, self.clock())
            except Refused as refusal:
                move = msgspec.structs.replace(move, refusal=refusals.said(refusal))
            else:
                if begun is hold:
                    move = msgspec.structs.replace(move, answer=answered(connection, hold))
                else:
                    stored.keep(connection, begun, now=self.clock())
            if not stored.add_move(connection, move):
                raise refusals.RequestIdReused("the request_id was used for another request before")
            return move

    def work(self, shared_hold_id: str) -> Work | None:
        """What a hold is waiting for; None where it waits for nothing. One whose life is over
        is released.
        """
        with transaction(self.engine) as connection:
            hold = stored.find(connection, shared_hold_id, lock=True)
            if hold is None:
                return None
            now = self.clock()
            if hold.state is SharedState.OPEN and hold.expire_time <= now:
                hold = sharing_steps.expire(hold)
                stored.keep(connection, hold, now=now)
            if hold.state not in UNDER_WAY:
                return None
            return Work(
                shared_hold_id,
                hold.step,
                # Of holds that want the same points at once, in the same order, one gets all of
                # its own; at random each might get a part and none the whole.
                hold.state is SharedState.PREPARING,
                sharing_steps.commands(hold, move_of(connection, hold)),
            )

    def settle(self, work: Work, answers: Sequence[tuple[int, Document | Refused]]) -> None:
        """Note what wallets answered; whoever comes second notes nothing."""
        with transaction(self.engine) as connection:
            hold = stored.find(connection, work.shared_hold_id, lock=True)
            if hold is None or hold.step != work.step:
                return
            now = self.clock()
            after = sharing_steps.settled(hold, answers, now)
            if after.state is SharedState.REFUSED:
                after = plan_anew(connection, after, now)
            if after.state not in UNDER_WAY:
                refunded = hold.state is SharedState.REFUNDING
                documents = [d for _, d in answers if isinstance(d, Document)] if refunded else []
                after = end(connection, after, documents)
            stored.keep(connection, after, now=now)

    def find(self, shared_hold_id: str) -> tuple[SharedHold, str]:
        """A hold, and whom the member counts for now who spends by it. Refuses: HoldNotFound."""
        with transaction(self.engine) as connection:
            hold = stored.find(connection, shared_hold_id)
            if hold is None or hold.state is SharedState.REFUSED:
                raise refusals.HoldNotFound("there is no such hold")
            return hold, merges.root_of(connection, hold.member_id)

    def left_alone(self, *, older_than: int, limit: int) -> list[str]:
        """Holds that nobody took further in so many microseconds, and those whose life is over."""
        now = self.clock()
        with transaction(self.engine) as connection:
            return stored.left_alone(connection, until=now - older_than, now=now, limit=limit)


def known(connection: Connection, request_id: str, body_hash: str) -> Move | None:
    """Refuses: RequestIdReused."""
    found = stored.find_move(connection, request_id)
    if found is not None and found.body_hash != body_hash:
        raise refusals.RequestIdReused("the request_id was used for another request before")
    return found


def missing(move: Move) -> Refused:
    if move.kind is MoveKind.REFUND:
        return refusals.BurnNotFound("there is no such burn")
    return refusals.HoldNotFound("there is no such hold")


def move_of(connection: Connection, hold: SharedHold) -> Move | None:
    """The request a hold is at; none where its life ended by itself."""
    return stored.find_move(connection, hold.move_id) if hold.move_id else None


def plan(connection: Connection, asked: AskedHold, now: int) -> tuple[SharedHold | None, str]:
    """A hold about to be prepared, or the refusal of what cannot be. Refuses: NoWallets."""
    try:
        parts, household_id = planned_parts(connection, asked, now)
    except NoWallets:
        raise
    except Refused as refusal:
        return None, refusals.said(refusal)
    return prepared(asked, parts, household_id, now=now), ""


def planned_parts(
    connection: Connection, asked: AskedHold, now: int
) -> tuple[tuple[Part, ...], str | None]:
    """Which wallets are to give how much, and the household they are of. Refuses: MemberBlocked,
    InsufficientPoints.
    """
    if merges.blocked_among(connection, [asked.member_id]):
        raise refusals.MemberBlocked("the member is blocked and spends nothing")
    life = Rules(policies.all_policies(connection)).life_at(asked.business_time)
    pool = pools.find_pool(
        connection, asked.member_id, own_points_only=asked.own_points_only, lock=True
    )
    own, lenders = pools.sources(
        connection, pool, business_time=asked.business_time, order=life.burn_order, now=now
    )
    if not own and not any(lender.sources for lender in lenders):
        raise NoWallets("there is no wallet", wanted=str(asked.points), available="0")
    clamp = life.shortfall is Shortfall.CLAMP
    return share_out(asked.points, own, lenders, clamp=clamp), pool.household_id


def plan_anew(connection: Connection, hold: SharedHold, now: int) -> SharedHold:
    """What becomes of a hold that was undone, as the points of a part had gone meanwhile."""
    move = move_of(connection, hold)
    if move is None or not planned_anew(hold):
        return hold
    # What it held no longer counts against anybody's limit.
    stored.keep(connection, hold, now=now)
    try:
        parts, _ = planned_parts(connection, asked_of(hold, move), now)
    except Refused as refusal:
        return msgspec.structs.replace(hold, failure=refusals.said(refusal))
    return replanned(hold, parts)


def asked_of(hold: SharedHold, move: Move) -> AskedHold:
    """What was asked for, of a hold that is to be planned anew."""
    return AskedHold(
        move.request_id,
        move.body_hash,
        hold.member_id,
        move.points,
        hold.purpose,
        hold.life,
        hold.own_points_only,
        hold.actor,
        hold.business_time,
    )


def end(connection: Connection, hold: SharedHold, documents: Sequence[Document]) -> SharedHold:
    """Answer the request that a hold was at; documents gave points back."""
    if hold.move_id is None:
        return hold
    ended = msgspec.structs.replace(hold, move_id=None)
    if hold.state in (SharedState.OPEN, SharedState.CAPTURED):
        ended = msgspec.structs.replace(ended, failure="")
    answer = "" if hold.failure else answered(connection, ended, given_back(documents))
    stored.end_move(connection, hold.move_id, answer=answer, refusal=hold.failure)
    return ended


def answered(connection: Connection, hold: SharedHold, back: tuple[GivenBack, ...] = ()) -> str:
    """What a request is answered: the hold as it stands, and what the member's own wallets hold."""
    return msgspec.json.encode(Answer(hold, own_balance(connection, hold.member_id), back)).decode()


def own_balance(connection: Connection, member_id: str) -> Balance:
    """Over all wallets that count for a member."""
    wallets = directory.wallets_of_member(connection, member_id)
    found = balances_of(connection, wallets, count(connection)).values()
    return Balance(
        sum(balance.available for balance in found),
        sum(balance.pending for balance in found),
        sum(balance.qualifying for balance in found),
        sum(balance.lifetime for balance in found),
        sum(balance.held for balance in found),
    )
