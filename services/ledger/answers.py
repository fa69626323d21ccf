"""What a till is answered to a sale, in the words of the contract."""

from collections.abc import Sequence
from typing import Protocol

import msgspec
from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from services.ledger.domain.documents import Account, Balance, Document, Flag
from services.ledger.domain.lots import Tender
from services.ledger.domain.policy import PointKind
from services.ledger.domain.receipt import explanation, receipt_texts

# Bound once: looking a member up in its class costs as much as the comparison.
REDEMPTION = Account.REDEMPTION


class RecordedSale(
    msgspec.Struct, frozen=True, gc=False, array_like=True, tag_field="frame", tag="recorded"
):
    """A sale that was recorded, now or before; response is a serialized RecordSaleResponse."""

    response: bytes
    recorded_before: bool


class AddPoints(Protocol):
    """The repeated field that PointsByRule are added to."""

    def add(
        self,
        *,
        rule: str,
        policy_version: int,
        kind: pos.PointKind.ValueType,
        points: int,
        lines: Sequence[int],
        explanation: str,
        basis_minor: int,
    ) -> object: ...


def recorded_sale(document: Document) -> RecordedSale:
    """The answer, written where the sale was decided: the server hands it on as it is."""
    response = pos.RecordSaleResponse()
    response.sale = sale_name(document.wallet_id, document.document_id)
    add_points(response.points, document)
    fill_balance(response.balance, document.balance)
    response.receipt_texts.extend(receipt_texts(document.entries, document.balance))
    if document.tender is not None:
        fill_tender(response.tender, document.tender)
    if document.flags:
        response.flags.extend(write_flags(document.flags))
    return RecordedSale(response.SerializeToString(), document.recorded_before)


def sale_name(wallet_id: int, document_id: int) -> str:
    return f"wallets/{wallet_id}/sales/{document_id}"


def point_kind(kind: PointKind) -> pos.PointKind.ValueType:
    return pos.PointKind.ValueType(kind._value_)


def add_points(points: AddPoints, document: Document) -> None:
    """Say for each entry which rule gave how much, and why; points that pay are no rule's. Filled
    in place: a list given is copied.
    """
    for entry in document.entries:
        if entry.account is REDEMPTION:
            continue
        points.add(
            rule=entry.rule,
            policy_version=entry.policy_version,
            kind=point_kind(entry.kind),
            points=entry.points,
            lines=entry.lines,
            explanation=explanation(document, entry),
            basis_minor=entry.basis,
        )


def fill_balance(message: pos.Balance, balance: Balance) -> None:
    message.available = balance.available
    message.pending = balance.pending
    message.qualifying = balance.qualifying
    if balance.held:
        message.held = balance.held


def write_flags(flags: int) -> list[pos.Flag.ValueType]:
    found = []
    if flags & Flag.POSSIBLE_DUPLICATE:
        found.append(pos.FLAG_POSSIBLE_DUPLICATE)
    if flags & Flag.UNKNOWN_CARD:
        found.append(pos.FLAG_UNKNOWN_CARD)
    return found


def fill_tender(message: pos.PointsTender, tender: Tender) -> None:
    message.points = tender.points
    message.amount_minor = tender.amount
