"""Whose wallets a request names, and whether the caller may see them."""

import asyncio
from collections.abc import Sequence

from services.ledger.domain.refusals import QueueFull
from services.ledger.rpc import names
from services.ledger.usecases.read import Holding, Reading
from services.plumbing.auth import current_caller
from services.plumbing.errors import Forbidden, Refused
from services.plumbing.group_commit import GroupCommitter, QueueIsFull

TOGETHER_MAX = 1_000

# A member, and the request at hand, if one is.
Asked = tuple[str, str | None]


class Holdings:
    """Wallets by name for the calls of one event loop. Members who are asked for while a look-up is
    under way are in the next, so that each costs a share of a statement.
    """

    def __init__(self, reading: Reading, *, members: Reading, queue_max: int) -> None:
        """members is what looks up members, one look-up at a time."""
        self._reading = reading
        self._members = members
        self._queue: GroupCommitter[Asked, Holding | Refused] = GroupCommitter(
            self._look_up_members, batch_max=TOGETHER_MAX, queue_max=queue_max
        )
        self._looked_up = asyncio.Event()
        self._looked_up.set()

    async def find(self, name: str, *, request_id: str | None = None) -> Holding:
        """The wallets of wallets/{wallet} or members/{member}/…; request_id is of what is to be
        done with them. Refuses: NOT_YOURS, WalletNotFound, MemberMerged, QueueFull.
        """
        collection, identifier = name.split("/")[:2]
        if collection == "members":
            current_caller().require_own(f"members/{identifier}")
        else:
            await self.require_own(names.read_wallet_id(identifier))
        return await self.look_up(name, request_id=request_id)

    async def look_up(self, name: str, *, request_id: str | None = None) -> Holding:
        """The same for whoever asks, of wallets whose owner is not shown what is in them: those
        that points are sent to. Refuses: WalletNotFound, MemberMerged, QueueFull.
        """
        collection, identifier = name.split("/")[:2]
        if collection != "members":
            return await asyncio.to_thread(self._reading.holding, names.read_wallet_id(identifier))
        try:
            submitted = self._queue.submit([(identifier, request_id)])
        except QueueIsFull:
            raise QueueFull from None
        self._looked_up.clear()
        found = (await submitted)[0]
        if isinstance(found, Exception):
            raise found
        return found

    async def looked_up(self) -> None:
        """Ends when the look-up of members is answered that is under way, or about to be."""
        await self._looked_up.wait()

    async def require_own(self, wallet_id: int) -> None:
        """Refuses: NOT_YOURS, also where there is no such wallet: permission comes before
        existence.
        """
        caller = current_caller()
        if not caller.own_only:
            return
        member_id = caller.subject.removeprefix("members/")
        if not await asyncio.to_thread(self._reading.owns, member_id, wallet_id):
            raise Forbidden("the token opens only its subject's own", reason="NOT_YOURS")

    async def close(self) -> None:
        await self._queue.close()

    async def _look_up_members(self, asked: Sequence[Asked]) -> Sequence[Holding | Refused]:
        try:
            return await asyncio.to_thread(self._members.holdings_of_members, asked)
        finally:
            self._looked_up.set()
