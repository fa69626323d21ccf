"""What a till is answered to a sale, in the words of the contract."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Protocol

import msgspec
from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from services.ledger.domain.documents import Account, Balance, Document, Entry, Flag
from services.ledger.domain.lots import Tender
from services.ledger.domain.policy import PointKind
from services.ledger.domain.receipt import explanation, receipt_texts
from services.plumbing import wire

# Bound once: looking a name up in its class costs as much as what is done with it.
REDEMPTION = Account.REDEMPTION
_POINTS = pos.RecordSaleResponse.POINTS_FIELD_NUMBER


class RecordedSale(
    msgspec.Struct, frozen=True, gc=False, array_like=True, tag_field="frame", tag="recorded"
):
    """A sale that was recorded, now or before; response is a serialized RecordSaleResponse."""

    response: bytes
    recorded_before: bool


class _PointsByRule(Protocol):
    def MergeFromString(self, serialized: bytes, /) -> int: ...  # noqa: N802 — as messages call it


class AddPoints(Protocol):
    """The repeated field that PointsByRule are added to."""

    def add(self) -> _PointsByRule: ...


def recorded_sale(document: Document) -> RecordedSale:
    """The answer, written where the sale was decided: the server hands it on as it is."""
    response = pos.RecordSaleResponse(
        sale=sale_name(document.wallet_id, document.document_id),
        receipt_texts=receipt_texts(document.entries, document.balance),
    )
    fill_balance(response.balance, document.balance)
    if document.tender is not None:
        fill_tender(response.tender, document.tender)
    if document.flags:
        response.flags.extend(write_flags(document.flags))
    points = [wire.field(_POINTS, said) for said in points_by_rule(document)]
    return RecordedSale(b"".join([response.SerializeToString(), *points]), document.recorded_before)


def sale_name(wallet_id: int, document_id: int) -> str:
    return f"wallets/{wallet_id}/sales/{document_id}"


def point_kind(kind: PointKind) -> pos.PointKind.ValueType:
    return pos.PointKind.ValueType(kind._value_)


def add_points(points: AddPoints, document: Document) -> None:
    """Say for each entry which rule gave how much, and why. Filled in place: a list given is
    copied.
    """
    for said in points_by_rule(document):
        points.add().MergeFromString(said)


def points_by_rule(document: Document) -> Iterator[bytes]:
    """A serialized PointsByRule for each entry but those that pay: these are no rule's."""
    given, said = b"", None
    for entry in document.entries:
        if entry.account is REDEMPTION:
            continue
        # Of several kinds that a rule gave for the same lines the same is said.
        saying = (
            *(entry.rule, entry.policy_version, entry.account, entry.points),
            *(entry.lines, entry.basis, entry.title),
        )
        if saying != said:
            given, said = _given(document, entry), saying
        yield _by_rule(entry.rule, entry.policy_version, entry.kind._value_, entry.lines) + given


def _given(document: Document, entry: Entry) -> bytes:
    return pos.PointsByRule(
        points=entry.points, explanation=explanation(document, entry), basis_minor=entry.basis
    ).SerializeToString()


@lru_cache(maxsize=16_384)
def _by_rule(rule: str, policy_version: int, kind: int, lines: tuple[int, ...]) -> bytes:
    """The rest of a PointsByRule: baskets of a size often have the same."""
    return pos.PointsByRule(
        rule=rule,
        policy_version=policy_version,
        kind=pos.PointKind.ValueType(kind),
        lines=lines,
    ).SerializeToString()


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
