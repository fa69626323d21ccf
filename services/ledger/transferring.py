"""Transfers between members on their way through two shards, a step each, never both at once.

A transfer is agreed, then its points are sent, then received, then it is done. Every step asked
again answers what it answered the first time, so whoever dies between two of them leaves nothing
but work for the next.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.exc import SQLAlchemyError

from services.ledger import metrics
from services.ledger.domain.basket import MICROS_PER_SECOND
from services.ledger.domain.documents import Document
from services.ledger.domain.refusals import OutcomeUnknown
from services.ledger.domain.transferring import (
    AskedTransfer,
    Transfer,
    TransferState,
    receiving,
    returning,
    sending,
)
from services.ledger.shards import Shards
from services.ledger.usecases.transfers import Transfers
from services.plumbing.errors import Refused
from services.plumbing.repeating import Repeating, each

LOOK_EVERY_SECONDS = 5.0
# Who agreed them finishes them meanwhile.
LEFT_ALONE = 5 * MICROS_PER_SECOND
AT_ONCE_MAX = 100

logger = logging.getLogger(__name__)


class Transferring:
    def __init__(self, shards: Shards, transfers: Transfers) -> None:
        self._shards = shards
        self._transfers = transfers

    async def transfer(self, asked: AskedTransfer) -> tuple[Transfer, Sequence[Document]]:
        """Move points, once; answers the transfer and what it did to the sender's wallets. It may
        be under way still: then it arrives by itself. Refuses: what agreeing and sending do,
        OutcomeUnknown.
        """
        transfer = await self.agree(asked)
        sent = await self.send(transfer)
        if transfer.state is TransferState.UNDER_WAY:
            try:
                await self.receive(transfer, sent)
                await self.note_done(transfer)
            except (Refused, SQLAlchemyError) as error:
                logger.warning("a transfer is left under way: %s", type(error).__name__)
            else:
                transfer = replace(transfer, state=TransferState.DONE)
        return transfer, sent

    async def finish(self, transfer: Transfer) -> None:
        """Do what is left of a transfer. Refuses: what sending does."""
        await self.receive(transfer, await self.send(transfer))
        await self.note_done(transfer)

    async def agree(self, asked: AskedTransfer) -> Transfer:
        return await asyncio.to_thread(self._transfers.agree, asked)

    async def send(self, transfer: Transfer) -> list[Document]:
        """Take the points out of the sender's wallets, all or none. Refuses: MemberBlocked,
        InsufficientPoints, TransferTooLarge: nothing is gone, nor will be; OutcomeUnknown: it is
        sent, or refused, later.
        """
        sent: list[Document] = []
        try:
            for command in sending(transfer):
                sent.append(await self._shards.post_one(command))  # noqa: PERF401 — kept if refused
        except Refused as refusal:
            if not refusal.retryable:
                await self._give_up(transfer, sent, refusal)
                raise
            raise OutcomeUnknown("send the same request again to hear of it") from None
        return sent

    async def _give_up(
        self, transfer: Transfer, sent: Sequence[Document], refusal: Refused
    ) -> None:
        """One of several wallets gave nothing: the others get back what they gave. It is noted
        last, so that whoever dies over it leaves the whole of it to the next.
        """
        for command in returning(transfer, sent):
            await self._shards.post_one(command)
        await asyncio.to_thread(self._transfers.note_refusal, transfer.transfer_id, refusal)

    async def receive(self, transfer: Transfer, sent: Sequence[Document]) -> Document:
        """Nothing refuses it for good: a wallet takes what it is given, whatever became of its
        member.
        """
        return await self._shards.post_one(receiving(transfer, sent))

    async def note_done(self, transfer: Transfer) -> None:
        await asyncio.to_thread(self._transfers.note_done, transfer.transfer_id)


class TransfersUnderWay:
    """Finishes what a server left that died over it; several servers may do so."""

    def __init__(
        self,
        transferring: Transferring,
        transfers: Transfers,
        *,
        every_seconds: float = LOOK_EVERY_SECONDS,
    ) -> None:
        self._transferring = transferring
        self._transfers = transfers
        repeating = Repeating(
            "transfers finished", self.finish, every_seconds=every_seconds, full=AT_ONCE_MAX
        )
        self.close = repeating.close

    async def finish(self, *, older_than: int = LEFT_ALONE) -> int:
        """Finish what was left; answers how many transfers were."""
        left = await asyncio.to_thread(
            self._transfers.left_under_way, older_than=older_than, limit=AT_ONCE_MAX
        )
        finished = await each(left, self._transferring.finish, "transfers")
        metrics.LEFT_UNDER_WAY.labels("transfers").set(len(left) - finished)
        return finished
