"""Merges, households and invitations, decided without a database."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.members.domain import events, households, invitations, merging
from services.members.domain.households import Household
from services.members.domain.invitations import InvitationState
from services.members.domain.members import Details, Member, MemberState, Standing
from services.members.domain.merging import Merge
from services.members.domain.refusals import (
    HouseholdFull,
    InvitationEnded,
    InvitationExpired,
    InvitationNotFound,
    MemberErased,
    MemberInHousehold,
    NotInHousehold,
    OwnerMustHandOver,
    TooManyMerged,
)
from services.members.domain.standing import block, unblock
from services.plumbing.errors import Refused

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
PEOPLE = 5
MOST = 4


def member(number: int, **standing: object) -> Member:
    details = Details(given_name=f"Member {number}")
    enrolled = Member(UUID(int=number), number, details, NOW, NOW)
    return replace(enrolled, standing=replace(Standing(), **standing))  # type: ignore[arg-type]


def home(*numbers: int) -> Household:
    """A household whose first member owns it; the others have joined in this order."""
    first, *others = numbers
    made = households.create(member(first), household_id=UUID(int=100), now=NOW)
    for place, number in enumerate(others, 1):
        joined = NOW + timedelta(seconds=place)
        made = households.join(made, member(number), most=20, now=joined)
    return made


def test_blocked_and_unblocked_member_is_as_before_but_for_the_version() -> None:
    blocked, _ = block(member(1), reason="suspicion", now=NOW)
    assert blocked.state is MemberState.BLOCKED
    unblocked, _ = unblock(blocked, now=LATER)
    assert unblocked == replace(member(1), version=3, update_time=LATER)
    assert unblock(unblocked, now=LATER) == (unblocked, [])


def test_who_had_to_wait_is_not_said_to_have_been_first() -> None:
    blocked, _ = block(member(1), reason="suspicion", now=LATER)
    unblocked, happened = unblock(blocked, now=NOW)
    assert happened == [events.MemberUnblocked(LATER)]
    assert unblocked.update_time == LATER


def test_state_that_says_most_counts() -> None:
    everything = {"block_time": NOW, "merged_into": UUID(int=2), "erase_time": NOW}
    states = []
    for name in ("erase_time", "merged_into", "block_time"):
        states.append(member(1, **everything).state)
        everything.pop(name)
    assert states == [MemberState.ERASED, MemberState.MERGED, MemberState.BLOCKED]


def test_owner_who_is_forgotten_leaves_the_household_to_the_longest_standing() -> None:
    left = households.forget(home(1, 2, 3), UUID(int=1), now=LATER)
    assert (left.owner_id, [share.member_id.int for share in left.shares]) == (UUID(int=2), [2, 3])
    assert households.forget(left, UUID(int=3), now=LATER).owner_id == UUID(int=2)


def test_who_has_left_is_not_forgotten_twice() -> None:
    assert households.forget(home(1, 2), UUID(int=3), now=LATER) == home(1, 2)


def test_owner_leaves_nobody_behind() -> None:
    with pytest.raises(OwnerMustHandOver):
        households.leave(home(1, 2), UUID(int=1), now=LATER)
    ended = households.leave(home(1), UUID(int=1), now=LATER)
    assert (ended.owner_id, ended.shares, ended.end_time, ended.revision) == (None, (), LATER, 2)


def test_who_joins_shares_nothing_yet() -> None:
    assert [share.points_limit for share in home(1, 2).shares] == [0, 0]


def test_withdrawn_share_is_one_a_blocked_member_may_set() -> None:
    shared = households.set_share(home(1, 2), member(2), 50)
    blocked = member(2, block_time=NOW)
    withdrawn = households.set_share(shared, blocked, 0)
    assert [share.points_limit for share in withdrawn.shares] == [0, 0]
    with pytest.raises(Refused, match="blocked"):
        households.set_share(shared, blocked, 51)


def test_invitation_ends_at_its_very_instant() -> None:
    life = timedelta(days=14)
    made = invitations.invite(
        invitation_id=UUID(int=7),
        household_id=UUID(int=100),
        member_id=UUID(int=1),
        code="unused",
        life=life,
        now=NOW,
    )
    assert made.code is None
    accept = InvitationState.ACCEPTED
    last = NOW + life - timedelta(microseconds=1)
    accepted = invitations.answered(made, UUID(int=1), accept, now=last)
    assert accepted.state is accept
    with pytest.raises(InvitationExpired):
        invitations.answered(made, UUID(int=1), accept, now=NOW + life)
    with pytest.raises(InvitationNotFound):
        invitations.answered(made, UUID(int=2), accept, now=last)
    with pytest.raises(InvitationEnded):
        invitations.withdrawn(accepted, now=last)


@pytest.mark.parametrize("typed", ["7KM4P-XXXXX", " 7km4p xxxxx", "7KM4PXXXXX", "7-K-M-4-PXXXXX"])
def test_code_is_read_however_it_is_typed(typed: str) -> None:
    assert invitations.normalised(typed) == "7KM4P-XXXXX"


def test_merge_of_an_erased_member_is_not_undone() -> None:
    merge = Merge(UUID(int=9), UUID(int=1), UUID(int=2), "twice", NOW)
    with pytest.raises(MemberErased):
        merging.undo(merge, member(1, erase_time=NOW), now=LATER)
    undone = replace(merge, undo_time=NOW)
    assert merging.undo(undone, member(1, erase_time=NOW), now=LATER) == undone


class World:
    """A few members with one household, to whom anything may be asked to happen."""

    def __init__(self) -> None:
        self.household: Household | None = None
        self.merges: list[Merge] = []

    def root(self, number: int) -> int:
        at = number
        into = {m.source_id.int: m.target_id.int for m in self.merges if m.undo_time is None}
        # A circle would be longer than there are members.
        for _ in range(PEOPLE):
            if at not in into:
                return at
            at = into[at]
        raise AssertionError("merges form a circle")

    def member(self, number: int) -> Member:
        root = self.root(number)
        shared = self.household is not None and self.household.has(UUID(int=number))
        return member(
            number,
            merged_into=None if root == number else UUID(int=root),
            household_id=UUID(int=100) if shared else None,
        )

    def merge(self, source: int, target: int) -> None:
        merging.require_two(UUID(int=source), UUID(int=target))
        roots = {self.root(source), self.root(target)}
        together = sum(self.root(number) in roots for number in range(PEOPLE))
        merging.require_mergeable(
            self.member(source), self.member(target), together=together, most=MOST
        )
        self.merges.append(Merge(UUID(int=0), UUID(int=source), UUID(int=target), "twice", NOW))

    def undo(self, number: int, _: int) -> None:
        if self.merges:
            place = number % len(self.merges)
            source = self.member(self.merges[place].source_id.int)
            self.merges[place] = merging.undo(self.merges[place], source, now=LATER)

    def join(self, number: int, _: int) -> None:
        if self.household is None or self.household.end_time is not None:
            self.household = households.create(
                self.member(number), household_id=UUID(int=100), now=NOW
            )
        else:
            self.household = households.join(
                self.household, self.member(number), most=MOST - 1, now=NOW
            )

    def leave(self, number: int, _: int) -> None:
        self._change(lambda home: households.leave(home, UUID(int=number), now=NOW))

    def forget(self, number: int, _: int) -> None:
        self._change(lambda home: households.forget(home, UUID(int=number), now=NOW))

    def share(self, number: int, limit: int) -> None:
        self._change(lambda home: households.set_share(home, self.member(number), limit))

    def hand_over(self, number: int, _: int) -> None:
        self._change(lambda home: households.hand_over(home, self.member(number)))

    def _change(self, decide: Callable[[Household], Household]) -> None:
        if self.household is not None:
            old, self.household = self.household, decide(self.household)
            assert self.household.revision == old.revision + (self.household != old)


VERBS = ("merge", "undo", "join", "leave", "forget", "share", "hand_over")
NUMBERS = st.integers(0, PEOPLE - 1)


@given(st.lists(st.tuples(st.sampled_from(VERBS), NUMBERS, NUMBERS), max_size=40))
def test_whatever_is_asked_members_and_households_stay_whole(
    asked: list[tuple[str, int, int]],
) -> None:
    world = World()
    for verb, one, other in asked:
        with suppress(Refused):
            getattr(world, verb)(one, other)
        roots = [world.root(number) for number in range(PEOPLE)]
        assert max(map(roots.count, roots)) <= MOST
        for number in range(PEOPLE):
            standing = world.member(number).standing
            assert standing.merged_into is None or standing.household_id is None
        found = world.household
        if found is not None:
            assert (found.owner_id is None) == (found.shares == ()) == (found.end_time is not None)
            assert found.owner_id is None or found.has(found.owner_id)
            assert len({share.member_id for share in found.shares}) == len(found.shares) < MOST
    for place in range(len(world.merges)):
        world.undo(place, 0)
    assert [world.root(number) for number in range(PEOPLE)] == list(range(PEOPLE))


def test_what_is_too_much_is_refused_by_its_name() -> None:
    with pytest.raises(HouseholdFull):
        households.join(home(1, 2), member(3), most=2, now=LATER)
    with pytest.raises(NotInHousehold):
        households.hand_over(home(1, 2), member(3))
    with pytest.raises(MemberInHousehold):
        households.join(home(1), member(2, household_id=UUID(int=5)), most=20, now=LATER)
    with pytest.raises(TooManyMerged):
        merging.require_mergeable(member(1), member(2), together=3, most=2)
