"""Between the messages of the contract and the words of the domain."""

from collections.abc import Iterable, Sequence
from datetime import date

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.ledger.v1 import ledger_pb2
from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from services.ledger.answers import REDEMPTION, fill_balance, point_kind, sale_name, write_flags
from services.ledger.domain.basket import MICROS_PER_SECOND, Line, Sale, lines_from_json, lines_json
from services.ledger.domain.documents import Balance, Document, DocumentType, Entry
from services.ledger.domain.policy import PointKind
from services.ledger.domain.receipt import explanation
from services.ledger.rpc import names
from services.plumbing.errors import FieldViolation, Invalid, Refused
from services.plumbing.grpc_calls import code_of

# What a caller is told of an item of a batch that failed for a reason that is not theirs to know.
INTERNAL = pos.Refusal(
    reason="INTERNAL", message="internal error", code=grpc.StatusCode.INTERNAL.value[0]
)


def micros(time: Timestamp) -> int:
    """Microseconds since 1970; finer parts are dropped."""
    return time.seconds * MICROS_PER_SECOND + time.nanos // 1_000


def timestamp(value: int) -> Timestamp:
    seconds, rest = divmod(value, MICROS_PER_SECOND)
    return Timestamp(seconds=seconds, nanos=rest * 1_000)


def optional_timestamp(value: int | None) -> Timestamp | None:
    return None if value is None else timestamp(value)


def read_day(field: str, text: str) -> date:
    """A day written as YYYY-MM-DD. Refuses: Invalid."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        violation = FieldViolation(field, "is not a day of the calendar")
        raise Invalid(f"{field}: {violation.description}", violations=[violation]) from None


def read_line(line: pos.Line) -> Line:
    return Line(
        line.sku,
        line.quantity_thousandths,
        line.amount_minor,
        line.description,
        tuple(line.category_path),
        tuple(line.tags),
        line.tax_minor,
        line.discount_minor,
        line.nature or 1,
    )


def read_lines(lines: Iterable[pos.Line]) -> list[Line]:
    """Refuses: Invalid, for what the rules of validity cannot say cheaply enough."""
    found = [read_line(line) for line in lines]
    for number, read in enumerate(found):
        if read.tax > read.amount:
            violation = FieldViolation(f"sale.lines[{number}].tax_minor", "exceeds amount_minor")
            raise Invalid(f"{violation.field}: {violation.description}", violations=[violation])
    return found


def read_sale(message: pos.Sale) -> Sale:
    """Refuses: Invalid, as read_lines does."""
    return Sale(
        message.store,
        message.terminal,
        message.receipt_number,
        micros(message.business_time),
        message.currency_code,
        lines_json(read_lines(message.lines)),
        message.tender_points,
    )


def write_line(line: Line) -> pos.Line:
    return pos.Line(
        sku=line.sku,
        description=line.description,
        category_path=line.category_path,
        quantity_thousandths=line.quantity,
        amount_minor=line.amount,
        tags=line.tags,
        tax_minor=line.tax,
        discount_minor=line.discount,
        nature=pos.Line.Nature.ValueType(line.nature),
    )


def write_balance(balance: Balance) -> pos.Balance:
    message = pos.Balance()
    fill_balance(message, balance)
    return message


def refusal(refused: Refused) -> pos.Refusal:
    return pos.Refusal(
        reason=refused.reason,
        message=refused.message,
        metadata=refused.metadata,
        field_violations=[
            pos.FieldViolation(field=v.field, description=v.description) for v in refused.violations
        ],
        retryable=refused.retryable,
        code=code_of(refused).value[0],
    )


ENTRY_TYPES = {
    DocumentType.SALE: ledger_pb2.ENTRY_TYPE_EARN,
    DocumentType.RETURN: ledger_pb2.ENTRY_TYPE_RETURN,
    DocumentType.VOID: ledger_pb2.ENTRY_TYPE_VOID,
    DocumentType.ADJUSTMENT: ledger_pb2.ENTRY_TYPE_ADJUSTMENT,
    DocumentType.HOLD: ledger_pb2.ENTRY_TYPE_HOLD,
    DocumentType.BURN: ledger_pb2.ENTRY_TYPE_BURN,
    DocumentType.RELEASE: ledger_pb2.ENTRY_TYPE_RELEASE,
    DocumentType.ACTIVATION: ledger_pb2.ENTRY_TYPE_ACTIVATION,
    DocumentType.EXPIRY: ledger_pb2.ENTRY_TYPE_EXPIRY,
    DocumentType.REFUND: ledger_pb2.ENTRY_TYPE_REFUND,
    DocumentType.SEND: ledger_pb2.ENTRY_TYPE_SEND,
    DocumentType.RECEIVE: ledger_pb2.ENTRY_TYPE_RECEIVE,
}


def write_entry(
    document: Document,
    entry: Entry,
    post_time: int,
    *,
    owner_id: str | None = None,
    spender_id: str | None = None,
) -> ledger_pb2.Entry:
    """owner_id is whose wallet it is by origin, spender_id who spent points that a shared hold
    burned.
    """
    return ledger_pb2.Entry(
        name=names.entry_name(document.wallet_id, document.document_id, entry.ordinal),
        type=ENTRY_TYPES[document.type],
        kind=point_kind(entry.kind),
        points=entry.points,
        account=entry.account.name.lower(),
        rule=entry.rule,
        policy_version=entry.policy_version,
        lines=entry.lines,
        explanation=explanation(document, entry),
        business_time=timestamp(document.business_time),
        post_time=timestamp(post_time),
        sale=names.sale_of(document),
        basis_minor=entry.basis,
        member=names.member_name(owner_id),
        spender=names.member_name(spender_id),
    )


def write_sale(
    document: Document, post_time: int, *, voided: bool, owner_id: str | None = None
) -> ledger_pb2.JournalSale:
    """owner_id is whose wallet it earned for by origin."""
    lines = lines_from_json(document.lines_json)
    return ledger_pb2.JournalSale(
        name=sale_name(document.wallet_id, document.document_id),
        sale=pos.Sale(
            store=document.store,
            terminal=document.terminal,
            receipt_number=document.receipt_number,
            business_time=timestamp(document.business_time),
            currency_code=document.currency,
            lines=[write_line(line) for line in lines],
            tender_points=document.tender.points if document.tender is not None else 0,
        ),
        redeemable_points=total(document.entries, PointKind.REDEEMABLE),
        qualifying_points=total(document.entries, PointKind.QUALIFYING),
        post_time=timestamp(post_time),
        flags=write_flags(document.flags),
        voided=voided,
        member=names.member_name(owner_id),
    )


def total(entries: Sequence[Entry], kind: PointKind) -> int:
    """The points of a kind that rules gave."""
    return sum(e.points for e in entries if e.kind is kind and e.account is not REDEMPTION)
