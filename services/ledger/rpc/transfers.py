"""What members call who send each other points."""

import asyncio
from collections.abc import Callable, Sequence

from loyalty.ledger.v1 import transfers_pb2, transfers_pb2_grpc

from services.ledger.domain.documents import Balance
from services.ledger.domain.refusals import MemberNeeded, TransferNotFound
from services.ledger.domain.transferring import AskedTransfer, Transfer
from services.ledger.rpc import messages, names
from services.ledger.rpc.holdings import Holdings
from services.ledger.storage.journal import MICROS_MAX, MICROS_MIN
from services.ledger.storage.transfers import TransferKey
from services.ledger.transferring import Transferring
from services.ledger.usecases.read import Holding
from services.ledger.usecases.transfers import Transfers
from services.plumbing.auth import current_caller
from services.plumbing.errors import Forbidden
from services.plumbing.grpc_calls import Context
from services.plumbing.pages import (
    WHOLE_NUMBER_MAX,
    PageTokenInvalid,
    next_page_token,
    page_size,
    read_page_token,
)


class TransfersOfPoints(transfers_pb2_grpc.TransferServiceServicer):
    def __init__(
        self,
        *,
        transferring: Transferring,
        transfers: Transfers,
        holdings: Holdings,
        first_wallet: Callable[[str], int],
    ) -> None:
        """first_wallet answers the wallet of a member by the member's id, and makes it where there
        is none.
        """
        self._transferring = transferring
        self._transfers = transfers
        self._holdings = holdings
        self._first_wallet = first_wallet

    async def TransferPoints(
        self,
        request: transfers_pb2.TransferPointsRequest,
        context: Context,  # noqa: ARG002
    ) -> transfers_pb2.TransferPointsResponse:
        source = await self._holdings.find(request.from_wallet)
        target = await self._holdings.look_up(request.to_wallet)
        sender, receiver = member_of(source), member_of(target)
        request_id = request.request_id.lower()
        asked = AskedTransfer(
            request_id,
            names.body_hash(
                "transfer",
                request.from_wallet,
                request.to_wallet,
                str(request.points),
                request.message,
            ),
            source.wallet_ids or (await self._one_wallet(source),),
            sender,
            await self._one_wallet(target),
            receiver,
            request.points,
            request.message,
            current_caller().subject,
        )
        transfer, sent = await self._transferring.transfer(asked)
        return transfers_pb2.TransferPointsResponse(
            transfer=write_transfer(transfer),
            balance=messages.write_balance(together([each.balance for each in sent])),
        )

    async def GetTransfer(
        self,
        request: transfers_pb2.GetTransferRequest,
        context: Context,  # noqa: ARG002
    ) -> transfers_pb2.GetTransferResponse:
        transfer = await asyncio.to_thread(
            self._transfers.find, names.read_transfer_name(request.name)
        )
        await self._require_side(transfer)
        if transfer is None:
            raise TransferNotFound("there is no such transfer")
        return transfers_pb2.GetTransferResponse(transfer=write_transfer(transfer))

    async def ListTransfers(
        self,
        request: transfers_pb2.ListTransfersRequest,
        context: Context,  # noqa: ARG002
    ) -> transfers_pb2.ListTransfersResponse:
        size = page_size(request.page_size, default=50, most=500)
        before = read_transfers_token(request.page_token)
        holding = await self._holdings.find(request.parent)
        found = await asyncio.to_thread(
            self._transfers.page,
            holding.wallet_ids,
            before=before,
            limit=size + 1,
        )
        page = found[:size]
        return transfers_pb2.ListTransfersResponse(
            transfers=[write_transfer(transfer) for transfer in page],
            next_page_token=next_page_token(found, size, key_of),
        )

    async def _one_wallet(self, holding: Holding) -> int:
        if holding.own_wallet_ids:
            return holding.own_wallet_ids[0]
        return await asyncio.to_thread(self._first_wallet, member_of(holding))

    async def _require_side(self, transfer: Transfer | None) -> None:
        """Refuses: NOT_YOURS, to who neither sent nor was sent it; also where there is none."""
        sources = transfer.sources if transfer else ()
        for source in sources:
            try:
                await self._holdings.require_own(source.wallet_id)
            except Forbidden:
                continue
            return
        await self._holdings.require_own(transfer.target if transfer else 0)


def member_of(holding: Holding) -> str:
    """Refuses: MemberNeeded."""
    if holding.member_id is None:
        raise MemberNeeded("nobody enrolled with that card; members alone send each other points")
    return holding.member_id


def together(balances: Sequence[Balance]) -> Balance:
    """What wallets have as one; the kinds that a transfer says nothing of are left out."""
    return Balance(
        available=sum(balance.available for balance in balances),
        pending=sum(balance.pending for balance in balances),
        qualifying=sum(balance.qualifying for balance in balances),
        held=sum(balance.held for balance in balances),
    )


def key_of(transfer: Transfer) -> TransferKey:
    return transfer.create_time, transfer.transfer_id


def read_transfers_token(token: str) -> TransferKey:
    """Where a page begins: at the newest of all without a token. Refuses: PageTokenInvalid."""
    keys = read_page_token(token, int, int)
    if keys is None:
        return MICROS_MAX, WHOLE_NUMBER_MAX
    time, transfer_id = (int(key) for key in keys)
    if not MICROS_MIN <= time <= MICROS_MAX:
        raise PageTokenInvalid
    return time, transfer_id


def write_transfer(transfer: Transfer) -> transfers_pb2.Transfer:
    return transfers_pb2.Transfer(
        name=names.transfer_name(transfer.transfer_id),
        state=transfers_pb2.Transfer.State.ValueType(transfer.state.value),
        from_wallet=f"wallets/{transfer.sources[0].wallet_id}",
        to_wallet=f"wallets/{transfer.target}",
        points=transfer.points,
        message=transfer.message,
        create_time=messages.timestamp(transfer.create_time),
    )
