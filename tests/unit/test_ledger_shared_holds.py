"""Which wallets give how much to a shared hold, and where its steps lead."""

import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ledger.domain import refusals, sharing_steps
from services.ledger.domain.documents import Balance, Document, DocumentType, HoldPoints
from services.ledger.domain.lots import HoldState
from services.ledger.domain.shared_holds import (
    UNDER_WAY,
    AskedHold,
    Lender,
    Move,
    MoveKind,
    SharedHold,
    SharedState,
    Source,
    as_hold,
    planned_anew,
    prepared,
    share_out,
)
from services.plumbing.errors import Refused

MEMBER, REQUEST, BODY = (str(uuid.UUID(int=number)) for number in (1, 2, 3))
LIFE = 1_000
POINTS = st.integers(0, 50)


def source(number: int, spendable: int) -> Source:
    return Source(number, f"member-{number}", spendable)


@st.composite
def pools(draw: st.DrawFn) -> tuple[list[Source], list[Lender]]:
    numbers = iter(range(1, 100))
    own = [source(next(numbers), points) for points in draw(st.lists(POINTS, max_size=4))]
    lenders = [
        Lender(
            f"lender-{place}",
            draw(st.integers(-5, 60)),
            tuple(source(next(numbers), points) for points in draw(st.lists(POINTS, max_size=3))),
        )
        for place in range(draw(st.integers(0, 4)))
    ]
    return own, lenders


@given(pool=pools(), points=st.integers(1, 200), clamp=st.booleans())
def test_own_points_go_first_and_nobody_gives_more_than_they_allow(
    pool: tuple[list[Source], list[Lender]], points: int, clamp: bool
) -> None:
    own, lenders = pool
    mine = sum(each.spendable for each in own)
    there = mine + sum(lender.lends for lender in lenders)
    if there < points and not (clamp and there):
        with pytest.raises(refusals.InsufficientPoints) as caught:
            share_out(points, own, lenders, clamp=clamp)
        assert caught.value.metadata == {"wanted": str(points), "available": str(there)}
        return
    parts = share_out(points, own, lenders, clamp=clamp)
    assert sum(part.points for part in parts) == min(points, there)
    assert [part.ordinal for part in parts] == list(range(1, len(parts) + 1))
    given_by = {part.wallet_id: part.points for part in parts}
    assert sum(given_by.get(each.wallet_id, 0) for each in own) == min(points, mine)
    for lender in lenders:
        lent = sum(given_by.get(each.wallet_id, 0) for each in lender.sources)
        assert lent <= max(lender.left, 0)
    every = [*own, *(each for lender in lenders for each in lender.sources)]
    assert all(0 <= given_by.get(each.wallet_id, 0) <= each.spendable for each in every)
    assert {part.wallet_id for part in parts if not part.pooled} <= {e.wallet_id for e in own}


def a_hold(*points: int) -> SharedHold:
    asked = AskedHold(REQUEST, BODY, MEMBER, sum(points), "tea", LIFE, False, "app", 0)
    sources = [source(number, each) for number, each in enumerate(points, 1)]
    return prepared(asked, share_out(sum(points), sources, []), None, now=0)


def a_move(hold: SharedHold, kind: MoveKind, points: int = 0) -> Move:
    return Move(
        str(uuid.UUID(int=10 + kind)), BODY, hold.shared_hold_id, kind, points, "", "app", 0, 0
    )


def document(number: int) -> Document:
    return Document(number, 1, REQUEST, BODY, DocumentType.HOLD, 0, Balance())


def stepped(hold: SharedHold, *refused: int, now: int = 0) -> SharedHold:
    """A hold after its step; the parts that are named refuse, for want of points."""
    answers: list[tuple[int, Document | Refused]] = [
        (
            ordinal,
            refusals.InsufficientPoints("gone", wanted="1", available="0")
            if ordinal in refused
            else document(100 + ordinal),
        )
        for ordinal, _ in sharing_steps.commands(hold, None)
    ]
    return sharing_steps.settled(hold, answers, now)


def opened(*points: int) -> SharedHold:
    return stepped(a_hold(*points))


def test_a_hold_is_open_when_every_part_is_held() -> None:
    hold = opened(3, 4)
    assert (hold.state, as_hold(hold)) == (SharedState.OPEN, HoldState.OPEN)
    assert [part.hold_id for part in hold.parts] == [101, 102]


def test_parts_outlive_the_whole() -> None:
    [(_, command)] = sharing_steps.commands(a_hold(3), None)
    assert isinstance(command, HoldPoints)
    assert command.life == LIFE + sharing_steps.LIFE_SPARE


def test_a_part_that_is_refused_undoes_the_others() -> None:
    hold = stepped(a_hold(3, 4), 2)
    assert hold.state is SharedState.UNDOING
    assert [ordinal for ordinal, _ in sharing_steps.commands(hold, None)] == [1]
    undone = stepped(hold)
    assert undone.state is SharedState.REFUSED
    assert planned_anew(undone)
    assert not planned_anew(msgspec.structs.replace(undone, attempt=2))


@given(points=st.integers(0, 10))
def test_own_points_are_burned_first_and_come_back_last(points: int) -> None:
    hold = opened(3, 3, 4)
    begun = sharing_steps.begin(hold, a_move(hold, MoveKind.CAPTURE, points), 0)
    captured = stepped(begun)
    wanted = points or 10
    assert (captured.state, captured.captured) == (SharedState.CAPTURED, wanted)
    burned = [part.captured for part in captured.parts]
    assert burned == [min(3, wanted), min(3, max(0, wanted - 3)), max(0, wanted - 6)]
    refunding = sharing_steps.begin(captured, a_move(captured, MoveKind.REFUND, 1), 0)
    moving = [part.moving for part in refunding.parts]
    last = max(place for place, each in enumerate(burned) if each)
    assert moving == [int(place == last) for place in range(3)]
    everything = (
        stepped(sharing_steps.begin(stepped(refunding), a_move(hold, MoveKind.REFUND), 0))
        if wanted > 1
        else stepped(refunding)
    )
    assert [part.refunded for part in everything.parts] == burned


@pytest.mark.parametrize(("now", "ended"), [(0, SharedState.RELEASED), (LIFE, SharedState.EXPIRED)])
def test_a_capture_that_fails_for_one_part_gives_all_back(now: int, ended: SharedState) -> None:
    hold = opened(3, 4)
    begun = sharing_steps.begin(hold, a_move(hold, MoveKind.CAPTURE), 0)
    failing = stepped(begun, 2)
    assert failing.state is SharedState.GIVING_BACK
    after = stepped(failing, now=now)
    assert (after.state, after.captured) == (ended, 0)
    assert [(part.captured, part.refunded) for part in after.parts] == [(3, 3), (0, 0)]
    with pytest.raises(refusals.BurnNotFound):
        sharing_steps.begin(after, a_move(after, MoveKind.REFUND), 0)


def test_what_has_ended_refuses_what_a_hold_in_one_wallet_refuses() -> None:
    hold = opened(3, 4)
    released = stepped(sharing_steps.begin(hold, a_move(hold, MoveKind.RELEASE), 0))
    captured = stepped(sharing_steps.begin(hold, a_move(hold, MoveKind.CAPTURE), 0))
    expired = stepped(sharing_steps.expire(hold), now=LIFE)
    for ended, kind, refusal in (
        (released, MoveKind.CAPTURE, refusals.HoldReleased),
        (expired, MoveKind.CAPTURE, refusals.HoldExpired),
        (captured, MoveKind.CAPTURE, refusals.HoldCaptured),
        (captured, MoveKind.RELEASE, refusals.HoldCaptured),
        (released, MoveKind.REFUND, refusals.BurnNotFound),
    ):
        with pytest.raises(refusal):
            sharing_steps.begin(ended, a_move(ended, kind), 0)
    for ended in (released, expired):
        assert sharing_steps.begin(ended, a_move(ended, MoveKind.RELEASE), 0) is ended
    with pytest.raises(refusals.HoldExpired):
        sharing_steps.begin(hold, a_move(hold, MoveKind.CAPTURE), LIFE)
    with pytest.raises(refusals.CaptureExceedsHold):
        sharing_steps.begin(hold, a_move(hold, MoveKind.CAPTURE, 8), 0)
    with pytest.raises(refusals.RefundExceedsBurn):
        sharing_steps.begin(captured, a_move(captured, MoveKind.REFUND, 8), 0)


@given(st.data())
def test_whatever_wallets_answer_every_step_ends(data: st.DataObject) -> None:
    hold = a_hold(*data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=4)))
    for kind in (None, MoveKind.CAPTURE, MoveKind.RELEASE, MoveKind.REFUND):
        if kind is not None:
            try:
                hold = sharing_steps.begin(hold, a_move(hold, kind), 0)
            except Refused:
                continue
        for _ in range(3):
            if hold.state not in UNDER_WAY:
                break
            hold = stepped(hold, *data.draw(st.sets(st.integers(1, 4))))
        assert hold.state not in UNDER_WAY
        assert all(part.moving == 0 for part in hold.parts)
        burned = sum(part.captured for part in hold.parts)
        assert hold.captured == (burned if hold.state is SharedState.CAPTURED else 0)
