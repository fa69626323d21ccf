"""What a member may still do, and what an operator may do about it."""

from dataclasses import replace
from datetime import datetime

from services.members.domain import events
from services.members.domain.members import CardState, Decision, Member, Standing
from services.members.domain.refusals import MemberBlocked, MemberErased, MemberMerged


def require_present(member: Member) -> None:
    """That the member is somebody by themselves. Refuses: MemberErased, MemberMerged."""
    if member.standing.erase_time is not None:
        raise MemberErased
    require_unmerged(member)


def require_unmerged(member: Member) -> None:
    """Refuses: MemberMerged."""
    if member.standing.merged_into is not None:
        raise MemberMerged(member.standing.merged_into)


def require_active(member: Member) -> None:
    """Refuses: MemberErased, MemberMerged, MemberBlocked."""
    require_present(member)
    if member.standing.block_time is not None:
        raise MemberBlocked


def block(member: Member, *, reason: str, now: datetime) -> Decision:
    """A member who spends no more; one who is blocked stays as they are.

    Refuses: MemberErased, MemberMerged.
    """
    require_present(member)
    if member.standing.block_time is not None:
        return member, []
    time = _not_before(member, now)
    blocked = replace(member.standing, block_time=time, block_reason=reason)
    return _with_standing(member, blocked, time), [events.MemberBlocked(time)]


def unblock(member: Member, *, now: datetime) -> Decision:
    """A member who may do everything; one who may already stays as they are.

    Refuses: MemberErased, MemberMerged.
    """
    require_present(member)
    if member.standing.block_time is None:
        return member, []
    time = _not_before(member, now)
    unblocked = replace(member.standing, block_time=None, block_reason=None)
    return _with_standing(member, unblocked, time), [events.MemberUnblocked(time)]


def erased_events(member: Member, *, now: datetime) -> list[events.Event]:
    """What is announced of an erasure: tills refuse the cards before the member is forgotten."""
    active = [card for card in member.cards if card.state is CardState.ACTIVE]
    blocked: list[events.Event] = [events.CardBlocked(card.token) for card in active]
    return [*blocked, events.MemberErased(now)]


def _not_before(member: Member, now: datetime) -> datetime:
    """Of two who come at once one waits, and must not seem to have been first."""
    return max(now, member.update_time)


def _with_standing(member: Member, standing: Standing, time: datetime) -> Member:
    return replace(member, standing=standing, version=member.version + 1, update_time=time)
