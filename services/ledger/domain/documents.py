"""What is asked of the ledger (commands), what it puts into its journal (documents), and what that
did (entries).

Times are microseconds since 1970-01-01 UTC. Points are whole.
"""

import enum
from collections.abc import Sequence

import msgspec

from services.ledger.domain.basket import Line, Sale
from services.ledger.domain.lots import Lot, LotUse, SentPart, Tender
from services.ledger.domain.policy import PointKind
from services.ledger.domain.standing import NO_STANDING, Standing


class Account(enum.IntEnum):
    """The programme's own accounts: the other side of every entry in a wallet."""

    ISSUANCE = 1
    ADJUSTMENT = 2
    REDEMPTION = 3
    BREAKAGE = 4
    TRANSFER = 5


class DocumentType(enum.IntEnum):
    SALE = 1
    RETURN = 2
    VOID = 3
    ADJUSTMENT = 4
    # Points set aside, burned, and made available again.
    HOLD = 6
    BURN = 7
    RELEASE = 8
    # Pending points that became available, and lots whose time was over.
    ACTIVATION = 9
    EXPIRY = 10
    # Burned points given back.
    REFUND = 11
    # Points that another member was sent, and those that came from one.
    SEND = 12
    RECEIVE = 13


# What a member does: points that live on with activity live on with these.
ACTIVE = (DocumentType.SALE, DocumentType.HOLD)


class CardState(enum.IntEnum):
    ACTIVE = 1
    REPLACED = 2
    BLOCKED = 3


class Flag(enum.IntFlag):
    NONE = 0
    POSSIBLE_DUPLICATE = 1
    UNKNOWN_CARD = 2
    # Of a return or void: it takes back the last of its sale.
    WHOLE_SALE = 4


class RecordSale(
    msgspec.Struct, frozen=True, gc=False, array_like=True, tag_field="frame", tag="sale"
):
    """Asks to record a sale. body_hash tells another body under the same request_id; both are
    hex digits of a UUID.
    """

    wallet_id: int
    request_id: str
    body_hash: str
    sale: Sale
    card_state: int
    unknown_card: bool


class ReturnedLine(msgspec.Struct, frozen=True, array_like=True):
    """A line of a sale coming back; quantity in thousandths, zero for all of it that is left."""

    line: int
    quantity: int = 0


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """The sale a return is about: by its id, or by the receipt when the id is zero."""

    sale_id: int = 0
    store: str = ""
    terminal: str = ""
    receipt_number: str = ""


class RecordReturn(msgspec.Struct, frozen=True, array_like=True, tag_field="frame", tag="return"):
    """Asks to take back what returned goods had earned; with no lines, all that is left. A void
    undoes a whole sale.
    """

    wallet_id: int
    request_id: str
    body_hash: str
    origin: Origin
    store: str
    terminal: str
    receipt_number: str
    business_time: int
    lines: tuple[ReturnedLine, ...] = ()
    void: bool = False


class AdjustPoints(msgspec.Struct, frozen=True, array_like=True, tag_field="frame", tag="adjust"):
    """Asks to give or take points by hand. reference is what it refers to, such as a case."""

    wallet_id: int
    request_id: str
    body_hash: str
    kind: PointKind
    points: int
    reason: str
    actor: str
    business_time: int
    reference: str = ""


class HoldPoints(msgspec.Struct, frozen=True, array_like=True, tag_field="frame", tag="hold"):
    """Asks to set points aside. life in microseconds of the clock, not of business time."""

    wallet_id: int
    request_id: str
    body_hash: str
    points: int
    purpose: str
    life: int
    actor: str
    business_time: int
    # The shared hold that it becomes a part of.
    shared: str = ""


class CapturePoints(msgspec.Struct, frozen=True, array_like=True, tag_field="frame", tag="capture"):
    """Asks to burn held points; all of them when points are zero."""

    wallet_id: int
    request_id: str
    body_hash: str
    hold_id: int
    points: int
    actor: str
    shared: str = ""


class ReleaseHold(msgspec.Struct, frozen=True, array_like=True, tag_field="frame", tag="release"):
    """Asks to make held points available again."""

    wallet_id: int
    request_id: str
    body_hash: str
    hold_id: int
    actor: str
    shared: str = ""


class RefundPoints(msgspec.Struct, frozen=True, array_like=True, tag_field="frame", tag="refund"):
    """Asks to give burned points back; all that are left of them when points are zero."""

    wallet_id: int
    request_id: str
    body_hash: str
    burn_id: int
    points: int
    reason: str
    actor: str
    business_time: int
    shared: str = ""


class ActivatePoints(
    msgspec.Struct, frozen=True, array_like=True, tag_field="frame", tag="activate"
):
    """Asks to make a wallet's pending points available whose time has come right after
    business_time.
    """

    wallet_id: int
    request_id: str
    body_hash: str
    business_time: int


class ExpirePoints(msgspec.Struct, frozen=True, array_like=True, tag_field="frame", tag="expire"):
    """Asks to expire a wallet's lots whose time is over right after business_time."""

    wallet_id: int
    request_id: str
    body_hash: str
    business_time: int


class SendPoints(msgspec.Struct, frozen=True, array_like=True, tag_field="frame", tag="send"):
    """Asks to take points out of a wallet that go to another one."""

    wallet_id: int
    request_id: str
    body_hash: str
    transfer_id: int
    points: int
    actor: str
    business_time: int


class ReceivePoints(msgspec.Struct, frozen=True, array_like=True, tag_field="frame", tag="receive"):
    """Asks to put points into a wallet that were sent, with the ages and ends they had."""

    wallet_id: int
    request_id: str
    body_hash: str
    transfer_id: int
    parts: tuple[SentPart, ...]
    actor: str
    business_time: int
    # Where they come from, in words for the statement.
    reason: str
    # Of points that come back to who sent them: the place of the document that did, in the wallet.
    left_at: int | None = None


Command = (
    RecordSale
    | RecordReturn
    | AdjustPoints
    | HoldPoints
    | CapturePoints
    | ReleaseHold
    | RefundPoints
    | ActivatePoints
    | ExpirePoints
    | SendPoints
    | ReceivePoints
)


class Entry(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A transfer between a wallet and one of the programme's accounts: into the wallet when
    points are positive.
    """

    ordinal: int
    kind: PointKind
    account: Account
    points: int
    rule: str = ""
    policy_version: int = 0
    lines: tuple[int, ...] = ()
    basis: int = 0
    # What the rule says for people; not kept, since the policy version says it.
    title: str = ""


class Balance(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A wallet's counters. available may be below zero by what a return took beyond the lots."""

    available: int = 0
    pending: int = 0
    qualifying: int = 0
    lifetime: int = 0
    held: int = 0


class Document(
    msgspec.Struct, frozen=True, gc=False, array_like=True, tag_field="frame", tag="document"
):
    """A request as the journal keeps it, with what it did; refused ones did nothing and say why."""

    document_id: int
    wallet_id: int
    request_id: str
    body_hash: str
    type: DocumentType
    business_time: int
    balance: Balance
    # Its place among the wallet's documents, from 1; zero when refused.
    sequence: int = 0
    store: str = ""
    terminal: str = ""
    # Of an adjustment: what it refers to. Of points sent and received: their transfer.
    receipt_number: str = ""
    currency: str = ""
    # What the document is about: the basket's Lines, what a return has TakenBack, a Hold as it
    # was left, what was Refunded, the LotParts that became available, the SentParts.
    lines_json: str = "[]"
    amount: int = 0
    flags: int = 0
    original_id: int = 0
    policy_version: int = 0
    points_forgiven: int = 0
    actor: str = ""
    reason: str = ""
    refusal: str = ""
    entries: Sequence[Entry] = ()
    lots: Sequence[Lot] = ()
    lot_uses: Sequence[LotUse] = ()
    # By what the sale earned, or the sale that a return is about.
    standing: Standing = NO_STANDING
    # When the sale took place that a return or void is about; zero for others.
    original_time: int = 0
    # The points a tier multiplies: of the basket now, and before what came back of it.
    tier_base: int = 0
    tier_base_before: int = 0
    # 1 for a sale, -1 for what takes back the last of one.
    visits: int = 0
    # What a sale was paid with in points; of a return, what of them it gave back.
    tender: Tender | None = None
    # Said to a request that was answered before; the journal keeps the first answer alone.
    recorded_before: bool = False

    @property
    def refused(self) -> bool:
        return bool(self.refusal)


class Original(msgspec.Struct, frozen=True):
    """A sale as a return of it sees it: its lines, and how much of each came back before."""

    document_id: int
    store: str
    terminal: str
    receipt_number: str
    business_time: int
    currency: str
    policy_version: int
    lines: Sequence[Line]
    # Quantity (thousandths) and amount already returned, by line number.
    returned: dict[int, tuple[int, int]]
    # The documents that took it back.
    return_ids: tuple[int, ...] = ()
    voided: bool = False
    standing: Standing = NO_STANDING
    tender: Tender | None = None
    # Points of the tender that returns gave back.
    given_back: int = 0
    # Its place among the wallet's documents.
    sequence: int = 0
    # The last day on which the member did anything else, as days since 1970; None: never.
    active_day_without: int | None = None

    @property
    def returned_amount(self) -> int:
        return sum(amount for _, amount in self.returned.values())
