"""The model's requests as commands of the ledger, and the ledger's answers as the model's."""

from collections.abc import Mapping

from services.ledger.domain.basket import Line, Sale, lines_json
from services.ledger.domain.documents import (
    AdjustPoints,
    CapturePoints,
    CardState,
    Command,
    Document,
    HoldPoints,
    Origin,
    ReceivePoints,
    RecordReturn,
    RecordSale,
    RefundPoints,
    ReleaseHold,
    ReturnedLine,
    SendPoints,
)
from services.ledger.domain.policy import PointKind
from services.ledger.usecases.post import Answer
from tests.service.ledger_model_requests import (
    DAY,
    AdjustAsked,
    AnythingAsked,
    CaptureAsked,
    HoldAsked,
    ReceiveAsked,
    RefundAsked,
    ReleaseAsked,
    Reply,
    ReturnAsked,
    SaleAsked,
    SendAsked,
)


def command_of(asked: AnythingAsked, documents: Mapping[str, int]) -> Command:
    """documents are those that recorded requests became."""
    wallet, request_id, body = asked.wallet, asked.request_id, asked.body
    if isinstance(asked, SaleAsked):
        lines = [
            Line("a", i.quantity, i.amount, category_path=("PRODUCE",) if i.produce else ())
            for i in asked.items
        ]
        sale = Sale("31", "1", request_id, asked.time, asked.currency, lines_json(lines))
        state = CardState.BLOCKED if asked.blocked else CardState.ACTIVE
        return RecordSale(wallet, request_id, body, sale, state, unknown_card=False)
    if isinstance(asked, ReturnAsked):
        document_id = documents.get(asked.sale, 0)
        by_number = document_id and int(asked.body[0], 16) % 2
        origin = Origin(document_id) if by_number else Origin(0, "31", "1", asked.sale)
        back = tuple(ReturnedLine(*each) for each in asked.lines)
        return RecordReturn(
            wallet, request_id, body, origin, "31", "1", "", asked.time, back, asked.void
        )
    if isinstance(asked, SendAsked):
        transfer = transfer_of(request_id)
        return SendPoints(wallet, request_id, body, transfer, asked.points, "app", asked.time)
    if isinstance(asked, ReceiveAsked):
        named = wallet, request_id, body, transfer_of(asked.send)
        return ReceivePoints(*named, asked.parts, "app", asked.time, "received", asked.left_at)
    if isinstance(asked, AdjustAsked):
        kind = PointKind(asked.kind)
        return AdjustPoints(
            wallet, request_id, body, kind, asked.points, "by hand", "care", asked.time
        )
    return spending_of(asked, documents)


def transfer_of(request_id: str) -> int:
    """A number of its own for each request that sends."""
    return int(request_id[:8], 16)


def spending_of(
    asked: HoldAsked | CaptureAsked | ReleaseAsked | RefundAsked, documents: Mapping[str, int]
) -> Command:
    named = asked.wallet, asked.request_id, asked.body
    match asked:
        case HoldAsked():
            life = 0 if asked.brief else DAY
            return HoldPoints(*named, asked.points, "a coffee", life, "app", asked.time)
        case CaptureAsked():
            return CapturePoints(*named, documents.get(asked.hold, 0), asked.points, "app")
        case ReleaseAsked():
            return ReleaseHold(*named, documents.get(asked.hold, 0), "app")
        case RefundAsked():
            burn = documents.get(asked.capture, 0)
            return RefundPoints(*named, burn, asked.points, "none left", "app", asked.time)


def reply_of(answer: Answer) -> Reply:
    """What the ledger answered, as the model would say it."""
    if not isinstance(answer, Document):
        return Reply(answer.reason)
    points = frozenset((e.rule, e.kind.value, e.points) for e in answer.entries)
    balance = answer.balance
    held = (balance.available, balance.qualifying, balance.lifetime, balance.held)
    return Reply("", points, answer.points_forgiven, held)
