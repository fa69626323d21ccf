"""A wallet and the documents posted to it, without a database: decisions alone."""

import itertools
import uuid

import msgspec

from services.ledger.domain.basket import Line, Sale, lines_json
from services.ledger.domain.circumstances import Circumstances, Limits, Rules
from services.ledger.domain.documents import (
    ActivatePoints,
    AdjustPoints,
    CapturePoints,
    CardState,
    Command,
    Document,
    DocumentType,
    ExpirePoints,
    HoldPoints,
    Origin,
    Original,
    ReceivePoints,
    RecordReturn,
    RecordSale,
    RefundPoints,
    ReleaseHold,
    ReturnedLine,
    SendPoints,
)
from services.ledger.domain.lots import Burn, SentPart
from services.ledger.domain.policy import PointKind, Policy
from services.ledger.domain.posting import decide
from services.ledger.domain.returning import TakenBack, original_of
from services.ledger.domain.spending import burned_by, refunded_by
from services.ledger.domain.wallet import WalletState
from tests.unit.ledger_baskets import NOON, REDEEMABLE, micros

DAY = 86_400 * 1_000_000
SECOND = 1_000_000


class Till:
    """Rings up, takes back, adjusts and spends at a clock that moves on by a second each time."""

    def __init__(self, *policies: Policy, at: str = NOON) -> None:
        self.wallet = WalletState(1)
        self.documents: list[Document] = []
        self.now = micros(at)
        self._rules = Rules(policies)
        self._limits = Limits(past=400 * DAY, future=300 * SECOND)
        self._ids = itertools.count(1)

    def sale(
        self,
        *lines: Line,
        business_time: int | None = None,
        currency: str = "USD",
        card_state: CardState = CardState.ACTIVE,
        unknown_card: bool = False,
        duplicate: bool = False,
        tender: int = 0,
    ) -> Document:
        """tender is how many points the basket is paid with."""
        time = self.now if business_time is None else business_time
        receipt = f"R{len(self.documents)}"
        sold = Sale("31", "1", receipt, time, currency, lines_json(lines), tender)
        command = RecordSale(1, str(uuid.uuid4()), "", sold, card_state, unknown_card)
        return self._post(command, duplicate=duplicate)

    def give_back(
        self,
        sale: Document | None,
        *lines: tuple[int, int] | int,
        void: bool = False,
        business_time: int | None = None,
    ) -> Document:
        """Return lines of a sale, each by its number or with a quantity; with none, the rest."""
        asked = tuple(
            ReturnedLine(each) if isinstance(each, int) else ReturnedLine(*each) for each in lines
        )
        origin = Origin(sale_id=sale.document_id if sale else 999)
        time = self.now if business_time is None else business_time
        command = RecordReturn(1, str(uuid.uuid4()), "", origin, "31", "1", "", time, asked, void)
        return self._post(command, original=self.original(sale) if sale else None)

    def void(self, sale: Document | None) -> Document:
        return self.give_back(sale, void=True)

    def adjust(
        self, points: int, kind: PointKind = REDEEMABLE, *, business_time: int | None = None
    ) -> Document:
        time = self.now if business_time is None else business_time
        request_id = str(uuid.uuid4())
        return self._post(AdjustPoints(1, request_id, "", kind, points, "by hand", "care", time))

    def hold(
        self, points: int, *, life: int = 900 * SECOND, business_time: int | None = None
    ) -> Document:
        time = self.now if business_time is None else business_time
        return self._post(HoldPoints(1, str(uuid.uuid4()), "", points, "coffee", life, "app", time))

    def capture(self, held: Document | None, points: int = 0) -> Document:
        hold_id = held.document_id if held else 999
        return self._post(CapturePoints(1, str(uuid.uuid4()), "", hold_id, points, "app"))

    def release(self, held: Document | None) -> Document:
        hold_id = held.document_id if held else 999
        return self._post(ReleaseHold(1, str(uuid.uuid4()), "", hold_id, "app"))

    def burn(self, points: int) -> Document:
        """Hold and capture."""
        return self.capture(self.hold(points))

    def refund(
        self, burned: Document | None, points: int = 0, *, business_time: int | None = None
    ) -> Document:
        time = self.now if business_time is None else business_time
        burn_id = burned.document_id if burned else 999
        command = RefundPoints(1, str(uuid.uuid4()), "", burn_id, points, "out of stock", "x", time)
        return self._post(command, burn=self.burn_of(burned) if burned else None)

    def burn_of(self, burned: Document) -> Burn:
        """A burn as the journal shows it to a refund: less what was given back before."""
        found = burned_by(burned)
        for document in self.documents:
            if document.type is DocumentType.REFUND and document.original_id == found.burn_id:
                found = refunded_by(found, document)
        return found

    def send(self, points: int, *, business_time: int | None = None) -> Document:
        time = self.now if business_time is None else business_time
        return self._post(SendPoints(1, str(uuid.uuid4()), "", 7, points, "app", time))

    def receive(self, *parts: SentPart, left_at: int | None = None) -> Document:
        """left_at is when they left this very wallet, of points that come back."""
        named = 1, str(uuid.uuid4()), "", 7
        reason = "received from a friend"
        return self._post(ReceivePoints(*named, parts, "app", self.now, reason, left_at))

    def activate(self) -> Document:
        return self._post(ActivatePoints(1, str(uuid.uuid4()), "", self.now))

    def expire(self) -> Document:
        return self._post(ExpirePoints(1, str(uuid.uuid4()), "", self.now))

    def original(self, sale: Document) -> Original:
        """A sale as the journal shows it to a return: with what came back before."""
        back = [d for d in self.documents if d.original_id == sale.document_id and not d.refused]
        returned: dict[int, tuple[int, int]] = {}
        for document in back:
            for taken in msgspec.json.decode(document.lines_json, type=list[TakenBack]):
                quantity, amount = returned.get(taken.line, (0, 0))
                returned[taken.line] = quantity + taken.quantity, amount + taken.amount
        return msgspec.structs.replace(
            original_of(sale),
            returned=returned,
            return_ids=tuple(document.document_id for document in back),
            voided=any(document.type is DocumentType.VOID for document in back),
            given_back=sum(d.tender.points for d in back if d.tender is not None),
            active_day_without=self._active_day_without(sale),
        )

    def _active_day_without(self, sale: Document) -> int | None:
        whole = {d.original_id for d in self.documents if d.visits < 0} | {sale.document_id}
        return max(
            (
                document.business_time // DAY
                for document in self.documents
                if document.type in (DocumentType.SALE, DocumentType.HOLD)
                and not document.refused
                and document.document_id not in whole
            ),
            default=None,
        )

    @property
    def lots(self) -> list[tuple[int, int]]:
        """What lots still hold, by when it was earned, the oldest first."""
        return [
            (lot.earn_time, lot.remaining)
            for lot in sorted(self.wallet.lots.values(), key=lambda lot: (lot.earn_time, lot.id))
            if lot.remaining
        ]

    @property
    def counters(self) -> dict[str, int]:
        wallet = self.wallet
        return {
            "available": wallet.available,
            "pending": wallet.pending,
            "qualifying": wallet.qualifying,
            "lifetime": wallet.lifetime,
            "overdrawn": wallet.overdrawn,
        }

    def _post(
        self,
        command: Command,
        *,
        original: Original | None = None,
        burn: Burn | None = None,
        duplicate: bool = False,
    ) -> Document:
        circumstances = Circumstances(self._rules, self._limits, self.now, lambda: next(self._ids))
        document = decide(
            command,
            self.wallet,
            circumstances,
            original=original,
            burn=burn,
            duplicate=duplicate,
        )
        self.documents.append(document)
        self.now += SECOND
        return document


def standing(shop: Till) -> tuple[dict[str, int], list[int]]:
    """Counters, and what each lot holds."""
    return shop.counters, [rest for _, rest in shop.lots]


def points(document: Document, kind: PointKind = REDEEMABLE) -> int:
    return sum(entry.points for entry in document.entries if entry.kind is kind)


def refusal(document: Document) -> tuple[str, dict[str, str]]:
    """Why a document was refused, and the values it names."""
    said = msgspec.json.decode(document.refusal)
    return said["reason"], said["metadata"]
