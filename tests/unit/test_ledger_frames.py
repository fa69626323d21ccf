"""What a server and its committers say to each other arrives as it was said."""

import msgspec
import pytest
from loyalty.ledger.v1 import point_of_sale_pb2 as pos
from sqlalchemy.exc import DataError

from services.ledger import frames
from services.ledger.answers import recorded_sale
from services.ledger.domain import refusals
from services.ledger.domain.basket import Line, Sale, lines_json
from services.ledger.domain.circumstances import Limits
from services.ledger.domain.documents import (
    Account,
    AdjustPoints,
    Balance,
    CardState,
    Command,
    Document,
    DocumentType,
    Entry,
    Origin,
    ReceivePoints,
    RecordReturn,
    RecordSale,
    ReturnedLine,
    SendPoints,
)
from services.ledger.domain.lots import Lot, LotUse, SentPart
from services.ledger.domain.point_life import Term
from services.ledger.domain.policy import PointKind
from services.plumbing.settling import CommitUnknown

REQUEST = "0b6ecf2e-5ed5-4d14-a0b6-8a9f16d0e7a1"
LINES = (Line("a", 1500, 299, "Äpfel", ("PRODUCE", "FRUIT"), ("fresh",), 20, 5, 2), Line("b", 0, 0))
SALE = Sale("31", "2", "R-1", 1_700_000_000_000_001, "EUR", lines_json(LINES))
COMMANDS: list[Command] = [
    RecordSale(7, REQUEST, REQUEST, SALE, CardState.BLOCKED.value, unknown_card=True),
    RecordReturn(7, REQUEST, REQUEST, Origin(5), "31", "2", "", 9, (ReturnedLine(1, 500),), True),
    AdjustPoints(2**62, REQUEST, REQUEST, PointKind.QUALIFYING, -(2**62), "why", "care", -1),
    SendPoints(7, REQUEST, REQUEST, 1, 2**62, "app", 9),
    ReceivePoints(7, REQUEST, REQUEST, 1, (SentPart((3, 1), 2, 8, None, 6),), "app", 9, "sent"),
]
DOCUMENT = Document(
    3,
    7,
    REQUEST,
    REQUEST,
    DocumentType.SALE,
    SALE.business_time,
    Balance(1, 2, 3, 4),
    5,
    *("31", "2", "R-1", "EUR", lines_json(LINES), 299, 3),
    policy_version=2,
    entries=[
        Entry(1, PointKind.REDEEMABLE, Account.ISSUANCE, 2, "base", 2, (1, 2), 299, "a point")
    ],
    lots=[Lot(3, 1, 2, 1, SALE.business_time, Term(expire_time=10**15))],
    lot_uses=[LotUse(1, (3, 1), 1)],
)


@pytest.mark.parametrize("is_alone", [True, False])
def test_a_batch_arrives_as_it_was_sent(is_alone: bool) -> None:
    batch = frames.Batch(is_alone, COMMANDS)
    assert frames.decode_batch(frames.encode(batch)) == batch


def test_an_opening_arrives_as_it_was_sent() -> None:
    opening = frames.Opening("postgresql://x", 1, Limits(past=5, future=6), "INFO")
    assert frames.decode_opening(frames.encode(opening)) == opening


def test_documents_arrive_as_they_were_sent() -> None:
    assert frames.decode_answers(frames.encode_answers([DOCUMENT])) == [DOCUMENT]


def test_what_a_till_is_told_of_a_sale_arrives_as_it_was_written() -> None:
    told = recorded_sale(msgspec.structs.replace(DOCUMENT, recorded_before=True))
    assert frames.decode_answers(frames.encode_answers([told])) == [told]
    assert told.recorded_before
    response = pos.RecordSaleResponse.FromString(told.response)
    assert response.sale == "wallets/7/sales/3"
    assert [each.explanation for each in response.points] == ["2 points for 2.99 EUR: a point"]


@pytest.mark.parametrize("kind", [*refusals.REMEMBERED.values(), refusals.RequestIdReused])
def test_a_refusal_arrives_with_its_type_reason_and_values(
    kind: type[refusals.CardBlocked],
) -> None:
    [told] = frames.decode_answers(frames.encode_answers([kind("it is so", wanted="5")]))
    assert type(told) is kind
    assert isinstance(told, kind)
    assert (told.reason, told.message, told.metadata) == (kind.reason, "it is so", {"wanted": "5"})


def test_answers_stand_in_their_order_and_errors_say_no_more_than_they_may() -> None:
    poison = DataError("INSERT 4111111111111111", {}, ValueError("4111111111111111"))
    frame = frames.encode_answers([poison, DOCUMENT, CommitUnknown()])
    assert b"4111" not in frame
    failed, document, unknown = frames.decode_answers(frame)
    assert isinstance(failed, frames.CommitterFailed)
    assert document == DOCUMENT
    assert isinstance(unknown, CommitUnknown)
