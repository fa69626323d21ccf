"""Whose vouchers and redemptions a caller may see."""

from services.plumbing.auth import current_caller
from services.plumbing.database_work import DatabaseWork
from services.rewards.domain.refusals import MemberMerged
from services.rewards.events import member_name
from services.rewards.rpc.names import owner, read_member
from services.rewards.usecases import members


async def require_owner(work: DatabaseWork, name: str) -> None:
    """Let through who owns what is named, and whom they were merged into.

    What a merged member got keeps their name. Refuses: Forbidden NOT_YOURS; MemberMerged where
    the caller is the merged one.
    """
    caller = current_caller()
    if caller.own_only:
        root_id = await work.run(members.root_of, read_member(owner(name)))
        if owner(name) == caller.subject != member_name(root_id):
            raise MemberMerged(root_id)
        caller.require_own(member_name(root_id))
