"""Whose wallets a request names, and whether the caller may see them."""

import asyncio

from services.ledger.rpc import names
from services.ledger.usecases.read import Holding, Reading
from services.plumbing.auth import current_caller
from services.plumbing.errors import Forbidden


class Holdings:
    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    async def find(self, name: str, *, request_id: str | None = None) -> Holding:
        """The wallets of wallets/{wallet} or members/{member}/…; request_id is of what is to be
        done with them. Refuses: NOT_YOURS, WalletNotFound, MemberMerged.
        """
        collection, identifier = name.split("/")[:2]
        if collection == "members":
            current_caller().require_own(f"members/{identifier}")
        else:
            await self.require_own(names.read_wallet_id(identifier))
        return await self.look_up(name, request_id=request_id)

    async def look_up(self, name: str, *, request_id: str | None = None) -> Holding:
        """The same for whoever asks, of wallets whose owner is not shown what is in them: those
        that points are sent to. Refuses: WalletNotFound, MemberMerged.
        """
        collection, identifier = name.split("/")[:2]
        if collection == "members":
            return await asyncio.to_thread(
                self._reading.holding, member_id=identifier, request_id=request_id
            )
        wallet_id = names.read_wallet_id(identifier)
        return await asyncio.to_thread(self._reading.holding, wallet_id=wallet_id)

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
