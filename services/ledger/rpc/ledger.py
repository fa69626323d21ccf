"""What apps, care agents and accountants call."""

import asyncio
from collections.abc import Callable
from typing import TypedDict

from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.ledger.v1 import ledger_pb2, ledger_pb2_grpc

from services.ledger.adjusting import Adjusting
from services.ledger.answers import point_kind
from services.ledger.committing import now_micros
from services.ledger.domain.basket import lines_from_json
from services.ledger.domain.documents import Account, AdjustPoints, DocumentType
from services.ledger.domain.policy import PointKind
from services.ledger.domain.proposals import Proposal
from services.ledger.rpc import messages, names
from services.ledger.rpc.holdings import Holdings
from services.ledger.storage.journal import (
    MICROS_MAX,
    MICROS_MIN,
    DocumentKey,
    Period,
    Posted,
    StatementKey,
)
from services.ledger.usecases.read import (
    Explanation,
    HeldBalance,
    Holding,
    Reading,
    document_key,
    statement_key,
)
from services.plumbing.auth import current_caller
from services.plumbing.grpc_calls import Context
from services.plumbing.pages import (
    PageTokenInvalid,
    next_page_token,
    page_size,
    page_token,
    read_page_token,
)


class Ledger(ledger_pb2_grpc.LedgerServiceServicer):
    def __init__(
        self,
        *,
        adjusting: Adjusting,
        reading: Reading,
        holdings: Holdings,
        first_wallet: Callable[[str], int],
    ) -> None:
        """first_wallet answers the wallet of a member by the member's id, and makes it
        where there is none.
        """
        self._adjusting = adjusting
        self._reading = reading
        self._holdings = holdings
        self._first_wallet = first_wallet

    async def GetWallet(
        self,
        request: ledger_pb2.GetWalletRequest,
        context: Context,  # noqa: ARG002
    ) -> ledger_pb2.GetWalletResponse:
        holding = await self._holdings.find(request.name)
        held = await asyncio.to_thread(self._reading.balance, holding)
        return ledger_pb2.GetWalletResponse(wallet=write_wallet(request.name, held))

    async def ListEntries(
        self,
        request: ledger_pb2.ListEntriesRequest,
        context: Context,  # noqa: ARG002
    ) -> ledger_pb2.ListEntriesResponse:
        """A page holds whole documents: the entries of one sale are never torn apart."""
        size = page_size(request.page_size, default=50, most=500)
        holding = await self._holdings.find(request.parent)
        found, _ = await self._statement(request, holding, limit=size + 1, sales_only=False)
        documents = [posted.document for posted in found]
        spenders = await asyncio.to_thread(self._reading.spenders, documents)
        entries: list[ledger_pb2.Entry] = []
        last: StatementKey | None = None
        rest = len(found)
        for posted in found:
            if entries and len(entries) + len(posted.document.entries) > size:
                break
            entries += [
                messages.write_entry(
                    posted.document,
                    entry,
                    posted.post_time,
                    owner_id=holding.owners.get(posted.document.wallet_id),
                    spender_id=spenders.get(document_key(posted.document)),
                )
                for entry in posted.document.entries
            ]
            last = statement_key(posted)
            rest -= 1
        # A page may be short, even empty, where sales earned nothing: the token says what follows.
        more = rest > 0 or len(found) > size
        token = page_token(*last) if last is not None and more else ""
        return ledger_pb2.ListEntriesResponse(entries=entries, next_page_token=token)

    async def ListSales(
        self,
        request: ledger_pb2.ListSalesRequest,
        context: Context,  # noqa: ARG002
    ) -> ledger_pb2.ListSalesResponse:
        size = page_size(request.page_size, default=20, most=100)
        holding = await self._holdings.find(request.parent)
        found, voided = await self._statement(request, holding, limit=size + 1, sales_only=True)
        page = found[:size]
        token = next_page_token(found, size, statement_key)
        return ledger_pb2.ListSalesResponse(
            sales=[
                messages.write_sale(
                    p.document,
                    p.post_time,
                    voided=document_key(p.document) in voided,
                    owner_id=holding.owners.get(p.document.wallet_id),
                )
                for p in page
            ],
            next_page_token=token,
        )

    async def ExplainEntry(
        self,
        request: ledger_pb2.ExplainEntryRequest,
        context: Context,  # noqa: ARG002
    ) -> ledger_pb2.ExplainEntryResponse:
        wallet_id, document_id, ordinal = names.read_entry_name(request.name)
        await self._holdings.require_own(wallet_id)
        explained = await asyncio.to_thread(self._reading.explain, wallet_id, document_id, ordinal)
        return write_explanation(explained)

    async def AdjustPoints(
        self,
        request: ledger_pb2.AdjustPointsRequest,
        context: Context,  # noqa: ARG002
    ) -> ledger_pb2.AdjustPointsResponse:
        holding = await self._holdings.find(request.wallet)
        wallet_id = await self._one_wallet(holding)
        given_time = messages.micros(request.business_time)
        caller = current_caller()
        adjusted = await self._adjusting.adjust(
            read_adjustment(request, wallet_id, caller.subject),
            roles=caller.roles,
            business_time=given_time or None,
        )
        if isinstance(adjusted, Proposal):
            return ledger_pb2.AdjustPointsResponse(
                proposal=names.proposal_name(adjusted.proposal_id)
            )
        return ledger_pb2.AdjustPointsResponse(
            entry=names.entry_name(wallet_id, adjusted.document_id, 1),
            balance=messages.write_balance(adjusted.balance),
        )

    async def GetProgrammeAccounts(
        self,
        request: ledger_pb2.GetProgrammeAccountsRequest,  # noqa: ARG002
        context: Context,  # noqa: ARG002
    ) -> ledger_pb2.GetProgrammeAccountsResponse:
        sums = await asyncio.to_thread(self._reading.programme_accounts)
        return ledger_pb2.GetProgrammeAccountsResponse(
            accounts=[
                ledger_pb2.ProgrammeAccount(
                    account=Account(account).name.lower(),
                    kind=point_kind(PointKind(kind)),
                    issued=points,
                )
                for (account, kind), points in sorted(sums.items())
            ]
        )

    async def _statement(
        self,
        request: ledger_pb2.ListEntriesRequest | ledger_pb2.ListSalesRequest,
        holding: Holding,
        *,
        limit: int,
        sales_only: bool,
    ) -> tuple[list[Posted], set[DocumentKey]]:
        """The documents a page is made of, newest first, and which of them are voided sales."""
        before = read_statement_token(request.page_token)
        return await asyncio.to_thread(
            self._reading.statement,
            holding,
            period=period_of(request),
            before=before,
            limit=limit,
            sales_only=sales_only,
        )

    async def _one_wallet(self, holding: Holding) -> int:
        """The member's own: what is given to somebody stays theirs when a merge is undone."""
        if holding.own_wallet_ids:
            return holding.own_wallet_ids[0]
        return await asyncio.to_thread(self._first_wallet, holding.member_id or "")


def read_adjustment(
    request: ledger_pb2.AdjustPointsRequest, wallet_id: int, actor: str
) -> AdjustPoints:
    given_time = messages.micros(request.business_time)
    body = [str(request.points), str(request.kind), request.reason, actor, str(given_time)]
    if request.reference:
        body.append(request.reference)
    return AdjustPoints(
        wallet_id,
        request.request_id.lower(),
        names.body_hash("adjust", *body),
        PointKind(request.kind),
        request.points,
        request.reason,
        actor,
        given_time or now_micros(),
        request.reference,
    )


def write_wallet(name: str, held: HeldBalance) -> ledger_pb2.Wallet:
    balance = held.balance
    wallet = ledger_pb2.Wallet(
        name=f"wallets/{balance.wallet_id}" if balance.wallet_id else name,
        member=f"members/{held.holding.member_id}" if held.holding.member_id else "",
        available=balance.available,
        pending=balance.pending,
        qualifying=balance.qualifying,
        lifetime=balance.lifetime,
        held=balance.held,
    )
    if balance.expire_time is not None:
        wallet.next_expiry.points = balance.expiring
        wallet.next_expiry.expire_time.FromMicroseconds(balance.expire_time)
    return wallet


def write_explanation(explained: Explanation) -> ledger_pb2.ExplainEntryResponse:
    sale = explained.sale
    lines = lines_from_json(sale.lines_json) if sale is not None else []
    document = explained.posted.document
    return ledger_pb2.ExplainEntryResponse(
        entry=messages.write_entry(
            document,
            explained.entry,
            explained.posted.post_time,
            owner_id=explained.owner_id,
            spender_id=explained.spender_id,
        ),
        lines=[messages.write_line(lines[number - 1]) for number in explained.entry.lines],
        rule_title=explained.rule.title if explained.rule else explained.entry.title,
        lots=[
            ledger_pb2.LotMovement(
                lot=f"wallets/{document.wallet_id}/lots/{lot.document_id}-{lot.ordinal}",
                points=use.points,
                earn_time=messages.timestamp(lot.earn_time),
                expire_time=messages.optional_timestamp(lot.term.expire_time),
            )
            for use, lot in explained.lots
        ],
        recomputed_points=explained.recomputed,
        recomputation_agrees=explained.agrees,
        **write_persons(explained),
    )


class Persons(TypedDict, total=False):
    """Who is behind an adjustment, and what it refers to."""

    actor: str
    approver: str
    reference: str


def write_persons(explained: Explanation) -> Persons:
    document, proposal = explained.posted.document, explained.proposal
    if document.type is not DocumentType.ADJUSTMENT:
        return {}
    return {
        "actor": proposal.proposer if proposal else document.actor,
        "approver": proposal.decider if proposal else "",
        "reference": document.receipt_number,
    }


def period_of(
    request: ledger_pb2.ListEntriesRequest | ledger_pb2.ListSalesRequest,
) -> Period:
    def bound(field: str, time: Timestamp) -> int | None:
        return messages.micros(time) if request.HasField(field) else None  # type: ignore[arg-type]

    return Period(bound("from_time", request.from_time), bound("until_time", request.until_time))


def read_statement_token(token: str) -> StatementKey | None:
    """Refuses: PageTokenInvalid."""
    keys = read_page_token(token, int, int, int)
    if keys is None:
        return None
    time, document_id, wallet_id = (int(key) for key in keys)
    if not MICROS_MIN <= time <= MICROS_MAX:
        raise PageTokenInvalid
    return time, document_id, wallet_id
