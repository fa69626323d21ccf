"""Answers and events that are put together of parts say what a message filled at once says."""

from random import Random

from hypothesis import given, settings
from loyalty.ledger.v1 import events_pb2, ledger_pb2
from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from services.ledger.answers import add_points, recorded_sale, write_flags
from services.ledger.domain.documents import Account, Balance, Document, DocumentType, Entry
from services.ledger.domain.lots import Tender
from services.ledger.domain.policy import PointKind
from services.ledger.domain.receipt import explanation, receipt_texts
from services.ledger.events import entries_posted
from tests.unit.ledger_chance import CHANCES

REQUEST = "0b6ecf2e-5ed5-4d14-a0b6-8a9f16d0e7a1"
# A small choice of values, so that entries differ in one of them or in none.
POINTS = (1, 12, 300, 2**40, -5)
TITLES = ("a point a dollar", "Äpfel 🍏 doppelt", "long " * 50)


def an_entry(chance: Random, ordinal: int) -> Entry:
    return Entry(
        ordinal,
        chance.choice(list(PointKind)),
        chance.choice(list(Account)),
        chance.choice(POINTS),
        chance.choice(("base", "extra", "made_good")),
        chance.choice((0, 2)),
        chance.choice(((), (1,), (1, 2, 300))),
        chance.choice((0, 299)),
        chance.choice(TITLES),
    )


def a_document(chance: Random, kind: DocumentType) -> Document:
    return Document(
        chance.choice((3, 2**60)),
        7,
        REQUEST,
        REQUEST,
        kind,
        1_700_000_000_000_001,
        Balance(chance.choice(POINTS), *chance.choices((0, 1, 2**40), k=4)),
        store="31",
        currency=chance.choice(("USD", "JPY", "KWD")),
        amount=chance.choice((0, 299)),
        flags=chance.choice((0, 1, 3)),
        original_id=chance.choice((0, 5)),
        entries=[an_entry(chance, each + 1) for each in range(chance.randint(0, 5))],
        tender=chance.choice((None, Tender(5, 50, ()))),
        tier_base=chance.choice((0, 12)),
        visits=1,
        recorded_before=chance.random() < 0.5,
    )


def said_of(document: Document) -> list[pos.PointsByRule]:
    return [
        pos.PointsByRule(
            rule=entry.rule,
            policy_version=entry.policy_version,
            kind=pos.PointKind.ValueType(entry.kind.value),
            points=entry.points,
            lines=entry.lines,
            explanation=explanation(document, entry),
            basis_minor=entry.basis,
        )
        for entry in document.entries
        if entry.account is not Account.REDEMPTION
    ]


@settings(max_examples=300, deadline=None)
@given(chance=CHANCES)
def test_a_till_is_told_what_the_document_of_its_sale_says(chance: Random) -> None:
    document = a_document(chance, DocumentType.SALE)
    balance, tender = document.balance, document.tender
    told = recorded_sale(document)
    assert told.recorded_before == document.recorded_before
    assert pos.RecordSaleResponse.FromString(told.response) == pos.RecordSaleResponse(
        sale=f"wallets/7/sales/{document.document_id}",
        points=said_of(document),
        balance=pos.Balance(
            available=balance.available,
            pending=balance.pending,
            qualifying=balance.qualifying,
            held=balance.held,
        ),
        receipt_texts=receipt_texts(document.entries, balance),
        flags=write_flags(document.flags),
        tender=pos.PointsTender(points=5, amount_minor=50) if tender is not None else None,
    )


@settings(max_examples=300, deadline=None)
@given(chance=CHANCES)
def test_points_are_said_of_any_document_as_of_a_sale(chance: Random) -> None:
    document = a_document(chance, chance.choice(list(DocumentType)))
    response = pos.RecordReturnResponse()
    add_points(response.points, document)
    assert list(response.points) == said_of(document)


@settings(max_examples=200, deadline=None)
@given(chance=CHANCES)
def test_an_event_tells_what_its_documents_say(chance: Random) -> None:
    documents = [a_document(chance, chance.choice(list(DocumentType))) for _ in range(3)]
    event = entries_posted(5, documents, 1_700_000_000_123_456)
    expected = events_pb2.EntriesPosted(
        shard=5,
        documents=[
            events_pb2.PostedDocument(
                wallet=7,
                document=document.document_id,
                type=ledger_pb2.EntryType.ValueType(document.type.value),
                business_time_micros=document.business_time,
                store="31",
                amount_minor=document.amount,
                original_document=document.original_id,
                currency_code=document.currency,
                tier_base_points=document.tier_base,
                visits=1,
                entries=[
                    events_pb2.PostedEntry(
                        ordinal=entry.ordinal,
                        kind=pos.PointKind.ValueType(entry.kind.value),
                        points=entry.points,
                        rule=entry.rule,
                    )
                    for entry in document.entries
                ],
            )
            for document in documents
        ],
    )
    expected.post_time.FromMicroseconds(1_700_000_000_123_456)
    assert events_pb2.EntriesPosted.FromString(event.data) == expected
    assert event.id == f"05-{documents[0].document_id}"
    assert event.type == "loyalty.ledger.v1.EntriesPosted"
