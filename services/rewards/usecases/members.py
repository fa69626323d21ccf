"""Members who turn out to be one person, who are blocked, or erased, as `members` tells it.

A merge moves nothing: vouchers, redemptions and what limits count keep the name they were made
under, and are looked up for the target as long as the merge stands.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Engine

from services.plumbing.database import transaction
from services.rewards import events
from services.rewards.domain import vouchers as decisions
from services.rewards.domain.vouchers import Voucher
from services.rewards.metrics import VOUCHERS_REVOKED
from services.rewards.storage import members, merges, people, redemptions, vouchers

ERASED = "member erased"


def merge_members(
    connection: Connection, merge_id: UUID, *, source_id: UUID, target_id: UUID
) -> None:
    """Let a member be another. Once; not where it is known as undone.

    Refuses: ValueError where the target is the source by other merges.
    """
    merges.lock(connection)
    if not merges.add(connection, merge_id, source_id=source_id, target_id=target_id):
        return
    root_id = members.root_of(connection, target_id)
    if root_id == source_id:
        raise ValueError("the target is the source already")
    merges.join(connection, source_id, root_id)


def undo_merge(connection: Connection, merge_id: UUID, *, source_id: UUID, target_id: UUID) -> None:
    """Let both be whom they would be without the merge."""
    merges.lock(connection)
    if merges.undo(connection, merge_id, source_id=source_id, target_id=target_id):
        merges.part(connection, source_id)


def set_blocked(connection: Connection, member_id: UUID, *, blocked: bool, time: datetime) -> None:
    """Let a member get nothing for points, or something again."""
    members.set_blocked(connection, member_id, blocked=blocked, time=time)


def erase_member(connection: Connection, member_id: UUID, *, time: datetime, now: datetime) -> None:
    """Forget what people wrote about a member, and in which segments they were.

    Vouchers that could still be used are revoked: nobody is left to whom they belong; one that a
    redemption under way becomes is as soon as it is issued. What was redeemed is kept under a name
    that leads to nobody any more.
    """
    # First: a step that is being done is over then, and the next one knows.
    redemptions.lock_under_way(connection, member_id)
    members.set_erased(connection, member_id, time=time)
    people.take_from_segments(connection, member_id)
    redemptions.forget_words(connection, member_id)
    vouchers.forget_words(connection, member_id)
    for voucher in vouchers.lock_usable(connection, member_id, now):
        revoke_of_erased(connection, voucher, now=now)


def revoke_of_erased(connection: Connection, voucher: Voucher, *, now: datetime) -> Voucher:
    """Revoke what belongs to nobody any more."""
    revoked = decisions.revoke(voucher, reason=ERASED, now=now)
    vouchers.update(connection, revoked)
    events.voucher_revoked(connection, revoked, now=now)
    VOUCHERS_REVOKED.inc()
    return revoked


def root_of(database: Engine, member_id: UUID) -> UUID:
    """Who a member is now: themself, unless merged."""
    with transaction(database) as connection:
        return members.root_of(connection, member_id)
