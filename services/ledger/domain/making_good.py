"""Follows a wallet's documents, to tell what of forgiven points each should have made good: the
check behind the audit. It knows no lots, only how many points left and came back.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from services.ledger.domain.documents import DocumentType
from services.ledger.domain.lots import Forgiven, Hold, HoldState


class Followed(msgspec.Struct, frozen=True, array_like=True):
    """A document as far as it says what left the wallet, came back, was forgiven or made good."""

    wallet_id: int
    document_id: int
    sequence: int
    type: DocumentType
    original_id: int
    forgiven: int
    # The hold that it leaves; empty where it is about none.
    hold_json: str
    # The transfer that it is of; empty where it is of none.
    transfer: str
    # Burned points that its entries give back, and points that they give anew.
    given_back: int
    given_anew: int
    made_good: int


@dataclass(slots=True)
class Following:
    """One wallet, document after document."""

    forgiven: list[Forgiven] = field(default_factory=list)
    # When points left, by the sale, the hold or the burn that they left with; by the transfer.
    _left_at: dict[int, int] = field(default_factory=dict)
    _sent_at: dict[str, int] = field(default_factory=dict)
    _open: set[int] = field(default_factory=set)

    def follow(self, document: Followed) -> Iterator[str]:
        """How what a document made good differs from what it should have."""
        points, left_at = self._came_back(document)
        due = self._pay(points, left_at)
        # Of what a return gives anew its own clawback takes first: how much, only lots tell.
        more = document.made_good - due
        if not 0 <= more <= document.given_anew:
            yield f"it made {document.made_good} forgiven points good, due were {due}"
        elif self._pay(more, left_at) < more:
            yield f"it made {more} more points good than were forgiven"
        if document.forgiven:
            self.forgiven.append(
                Forgiven(
                    document.document_id,
                    document.sequence,
                    document.original_id,
                    document.forgiven,
                    document.forgiven,
                )
            )

    def _came_back(self, document: Followed) -> tuple[int, int]:
        """The points that came back with a document, and the place of what they had left with."""
        original = document.original_id
        left_at = self._left_at.get(original, 0)
        match document.type:
            case DocumentType.SALE | DocumentType.HOLD:
                self._left_at[document.document_id] = document.sequence
                if document.type is DocumentType.HOLD:
                    self._open.add(document.document_id)
            case DocumentType.BURN | DocumentType.RELEASE if original in self._open:
                self._open.remove(original)
                self._left_at[document.document_id] = left_at
                hold = msgspec.json.decode(document.hold_json, type=Hold)
                return hold.points - hold.captured * (hold.state is HoldState.CAPTURED), left_at
            case DocumentType.SEND:
                self._sent_at[document.transfer] = document.sequence
            case DocumentType.RECEIVE if document.transfer in self._sent_at:
                return document.given_back, self._sent_at[document.transfer]
            case DocumentType.REFUND | DocumentType.RETURN | DocumentType.VOID:
                return document.given_back, left_at
        return 0, left_at

    def _pay(self, points: int, left_at: int) -> int:
        """Make good with so many points, the earlier return first; answers how many it took."""
        taken = 0
        for place, forgiven in enumerate(self.forgiven):
            if forgiven.sequence > left_at:
                paid = min(points - taken, forgiven.left)
                self.forgiven[place] = msgspec.structs.replace(forgiven, left=forgiven.left - paid)
                taken += paid
        return taken


def forgiven_differences(found: Iterable[Forgiven], expected: Iterable[Forgiven]) -> Iterator[str]:
    """How what is kept of forgiven points differs from what the documents tell."""
    kept = {each.return_id: each for each in found}
    for each in expected:
        other = kept.pop(each.return_id, None)
        if other is None:
            yield f"the {each.points} points that return {each.return_id} forgave are not kept"
        elif other != each:
            yield (
                f"of {other.points} points that return {each.return_id} forgave {other.left} are"
                f" left, by the documents of {each.points} {each.left}"
            )
    for return_id in kept:
        yield f"return {return_id} forgave nothing"
