"""What tills call."""

import asyncio
from collections.abc import Sequence

from loyalty.ledger.v1 import point_of_sale_pb2 as pos
from loyalty.ledger.v1 import point_of_sale_pb2_grpc

from services.ledger import metrics
from services.ledger.answers import (
    RecordedSale,
    add_points,
    fill_balance,
    fill_tender,
    write_flags,
)
from services.ledger.card_cache import CardCache
from services.ledger.card_lookups import CardLookups
from services.ledger.domain.card_token import refuse_raw_card_number
from services.ledger.domain.documents import (
    Document,
    Origin,
    RecordReturn,
    RecordSale,
    ReturnedLine,
)
from services.ledger.domain.receipt import receipt_texts
from services.ledger.domain.refusals import UnknownSale
from services.ledger.rpc import messages, names, sale_wire
from services.ledger.rpc.sale_reading import AskedSale, SaleReader
from services.ledger.shards import Shards
from services.ledger.storage.directory import Card
from services.ledger.usecases.quote import Quotes
from services.plumbing.auth import Caller, current_caller
from services.plumbing.errors import Refused
from services.plumbing.grpc_calls import Context
from services.plumbing.validation import refused_items

# A call reads so many sales, or makes so many commands, before others have their turn: a
# millisecond or two of either.
SALES_BETWEEN_TURNS = 25
COMMANDS_BETWEEN_TURNS = 200

# What is not read and written as its message.
CODECS = {"RecordSale": sale_wire.SINGLE, "BatchRecordSales": sale_wire.BATCHES}


class PointOfSale(point_of_sale_pb2_grpc.PointOfSaleServiceServicer):
    def __init__(
        self, *, shards: Shards, cards: CardCache, lookups: CardLookups, quotes: Quotes
    ) -> None:
        self._shards = shards
        self._cards = cards
        self._lookups = lookups
        self._quotes = quotes
        self._reader = SaleReader()
        # Batches are read one after the other: so the first is with its committers while the next
        # is read, and none waits until all are.
        self._reading = asyncio.Lock()

    # Read and written as CODECS says, of which the stubs know nothing.
    async def RecordSale(  # type: ignore[override]
        self,
        request: bytes,
        context: Context,  # noqa: ARG002
    ) -> bytes:
        """Answers a serialized RecordSaleRequest with a serialized RecordSaleResponse."""
        try:
            asked = self._admit(request, current_caller())
            token = asked.card_token
            card = self._cards.get(token) or (await self._lookups.of([token]))[token]
            recorded = await self._shards.record(sale_command(asked, card))
        except Refused as refused:
            metrics.REFUSALS.labels(refused.reason).inc()
            raise
        if not recorded.recorded_before:
            metrics.SALES.inc()
        return recorded.response

    # Read and written as CODECS says, of which the stubs know nothing.
    async def BatchRecordSales(  # type: ignore[override]
        self,
        request: sale_wire.BatchRecordSalesRequest,
        context: Context,  # noqa: ARG002
    ) -> sale_wire.BatchRecordSalesResponse:
        answers = await self._record_all(request.requests, current_caller())
        response: sale_wire.BatchRecordSalesResponse = sale_wire.new_response()
        recorded = 0
        for answer in answers:
            if isinstance(answer, RecordedSale):
                recorded += not answer.recorded_before
                response.outcomes.add(recorded=answer.response)
            elif isinstance(answer, Refused):
                metrics.REFUSALS.labels(answer.reason).inc()
                response.outcomes.add(refused=messages.refusal(answer))
            else:
                metrics.REFUSALS.labels("INTERNAL").inc()
                response.outcomes.add(refused=messages.INTERNAL)
        metrics.SALES.inc(recorded)
        return response

    async def _record_all(
        self, requests: Sequence[bytes], caller: Caller
    ) -> list[RecordedSale | Exception]:
        """Record the sales of a batch; one that is refused stands in its place as its refusal."""
        answers: list[RecordedSale | Exception | None] = [None] * len(requests)
        async with self._reading:
            admitted = await self._admit_all(requests, caller, answers)
        cards = await self._lookups.of([asked.card_token for _, asked in admitted])
        commands = []
        for count, (_, asked) in enumerate(admitted):
            if count % COMMANDS_BETWEEN_TURNS == COMMANDS_BETWEEN_TURNS - 1:
                await asyncio.sleep(0)
            commands.append(sale_command(asked, cards[asked.card_token]))
        posted = await self._shards.record_all(commands)
        for (number, _), answer in zip(admitted, posted, strict=True):
            answers[number] = answer
        return [answer for answer in answers if answer is not None]

    async def _admit_all(
        self,
        requests: Sequence[bytes],
        caller: Caller,
        answers: list[RecordedSale | Exception | None],
    ) -> list[tuple[int, AskedSale]]:
        """The sales of a batch that may be recorded, by their places; the others are answered."""
        admitted: list[tuple[int, AskedSale]] = []
        # Whether there are too few or too many; what is wrong within one is seen as it is read.
        refused_items()
        for number, request in enumerate(requests):
            if number % SALES_BETWEEN_TURNS == SALES_BETWEEN_TURNS - 1:
                await asyncio.sleep(0)
            try:
                admitted.append((number, self._admit(request, caller)))
            except Refused as refused:
                # Its traceback would hold this call, and this call holds it.
                answers[number] = refused.with_traceback(None)
        return admitted

    def _admit(self, request: bytes, caller: Caller) -> AskedSale:
        """A sale that the caller may record. Refuses: INVALID_REQUEST, RawCardNumber,
        FOREIGN_STORE.
        """
        asked = self._reader.read(request)
        refuse_raw_card_number(asked.card_token)
        caller.require_store(asked.sale.store)
        return asked

    async def RecordReturn(
        self,
        request: pos.RecordReturnRequest,
        context: Context,  # noqa: ARG002
    ) -> pos.RecordReturnResponse:
        response = pos.RecordReturnResponse()
        fill_taken_back(response, await self._take_back(request))
        return response

    async def VoidSale(
        self,
        request: pos.VoidSaleRequest,
        context: Context,  # noqa: ARG002
    ) -> pos.VoidSaleResponse:
        response = pos.VoidSaleResponse()
        fill_taken_back(response, await self._take_back(request))
        return response

    async def _take_back(self, request: pos.RecordReturnRequest | pos.VoidSaleRequest) -> Document:
        try:
            current_caller().require_store(request.store)
            wallet_id, origin = await self._origin(request)
            return await self._shards.post_one(return_command(request, wallet_id, origin))
        except Refused as refused:
            metrics.REFUSALS.labels(refused.reason).inc()
            raise

    async def _origin(
        self, request: pos.RecordReturnRequest | pos.VoidSaleRequest
    ) -> tuple[int, Origin]:
        """The wallet and the sale that goods come back from. Refuses: UnknownSale,
        RawCardNumber.
        """
        if request.WhichOneof("original") == "sale":
            wallet_id, sale_id = names.read_sale_name(request.sale)
            return wallet_id, Origin(sale_id=sale_id)
        receipt = request.receipt
        refuse_raw_card_number(receipt.card_token)
        card = self._cards.get(receipt.card_token) or await asyncio.to_thread(
            self._cards.find, receipt.card_token
        )
        if card is None:
            raise UnknownSale("no such sale is recorded for this card")
        return card.wallet_id, Origin(0, receipt.store, receipt.terminal, receipt.receipt_number)

    async def QuoteSale(
        self,
        request: pos.QuoteSaleRequest,
        context: Context,  # noqa: ARG002
    ) -> pos.QuoteSaleResponse:
        refuse_raw_card_number(request.sale.card_token)
        current_caller().require_store(request.sale.store)
        sale = messages.read_sale(request.sale)
        quoted = await asyncio.to_thread(self._quotes.quote, sale, request.sale.card_token)
        response = pos.QuoteSaleResponse(
            balance=messages.write_balance(quoted.balance),
            receipt_texts=receipt_texts(quoted.entries, quoted.balance),
            flags=write_flags(quoted.flags),
        )
        add_points(response.points, quoted)
        if quoted.tender is not None:
            fill_tender(response.tender, quoted.tender)
        return response


def fill_taken_back(
    response: pos.RecordReturnResponse | pos.VoidSaleResponse, document: Document
) -> None:
    # A field named as a keyword of the language can be set by name only.
    setattr(response, "return", names.return_name(document))
    response.sale = names.sale_of(document)
    add_points(response.points, document)
    response.points_forgiven = document.points_forgiven
    if document.tender is not None:
        fill_tender(response.tender, document.tender)
        response.money_minor = -document.amount - document.tender.amount
    fill_balance(response.balance, document.balance)
    response.receipt_texts.extend(receipt_texts(document.entries, document.balance))


def sale_command(asked: AskedSale, card: Card) -> RecordSale:
    sale = asked.sale
    body = names.body_hash(
        "sale",
        asked.card_token,
        sale.store,
        sale.terminal,
        sale.receipt_number,
        str(sale.business_time),
        sale.currency,
        sale.lines_json,
        *([str(sale.tender_points)] if sale.tender_points else []),
    )
    return RecordSale(
        card.wallet_id,
        asked.request_id.lower(),
        body,
        sale,
        card.state,
        not card.known,
    )


def return_command(
    request: pos.RecordReturnRequest | pos.VoidSaleRequest, wallet_id: int, origin: Origin
) -> RecordReturn:
    void = isinstance(request, pos.VoidSaleRequest)
    lines: tuple[ReturnedLine, ...] = ()
    receipt_number = ""
    if not isinstance(request, pos.VoidSaleRequest):
        lines = tuple(ReturnedLine(back.line, back.quantity_thousandths) for back in request.lines)
        receipt_number = request.receipt_number
    business_time = messages.micros(request.business_time)
    body = names.body_hash(
        "void" if void else "return",
        str(origin),
        request.store,
        request.terminal,
        receipt_number,
        str(business_time),
        str(lines),
    )
    return RecordReturn(
        wallet_id,
        request.request_id.lower(),
        body,
        origin,
        request.store,
        request.terminal,
        receipt_number,
        business_time,
        lines,
        void,
    )
