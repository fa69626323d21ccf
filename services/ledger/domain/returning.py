"""Returns and voids: afterwards a wallet stands as if only the rest had been bought.

Points are recomputed from the lines that are left, never prorated. Pure; time is an argument.
"""

from collections.abc import Iterable, Sequence

import msgspec

from services.ledger.domain import refusals
from services.ledger.domain.basket import Line, NumberedLine, lines_from_json
from services.ledger.domain.circumstances import Circumstances, check_time
from services.ledger.domain.documents import (
    Document,
    DocumentType,
    Flag,
    Original,
    RecordReturn,
)
from services.ledger.domain.earning import Earning, Grant
from services.ledger.domain.forgiving import forgive
from services.ledger.domain.lots import LotPart, Tender, first_points
from services.ledger.domain.point_life import Term, term
from services.ledger.domain.policy import Clawback, PointKind, Policy
from services.ledger.domain.restoring import Restored, last_burned, restore
from services.ledger.domain.tendering import earning_lines, points_due_back, tender_left
from services.ledger.domain.unwinding import Change, Posted, post_changes, summed
from services.ledger.domain.wallet import WalletState


# What of a line comes back: its number, quantity and amount.
class TakenBack(msgspec.Struct, frozen=True):
    line: int
    quantity: int
    amount: int


def taken_back(original: Original, command: RecordReturn) -> list[TakenBack]:
    """What a return takes back. Refuses: UnknownLine, ReturnExceedsSale."""
    if not command.lines:
        numbers = range(1, len(original.lines) + 1)
        rest = [left for number in numbers if (left := left_of(original, number))]
        if not rest:
            raise refusals.ReturnExceedsSale("everything of the sale was returned before")
        return rest
    found = []
    for asked in command.lines:
        if asked.line > len(original.lines):
            raise refusals.UnknownLine(f"the sale has no line {asked.line}", line=str(asked.line))
        found.append(part_of(original, asked.line, asked.quantity))
    if len({back.line for back in found}) != len(found):
        raise refusals.UnknownLine("a line is named twice")
    return found


def left_of(original: Original, number: int) -> TakenBack | None:
    """All of a line that was not returned before; None when nothing is left."""
    if number not in original.returned:
        line = original.lines[number - 1]
        return TakenBack(number, line.quantity, line.amount)
    quantity, amount = original.returned[number]
    line = original.lines[number - 1]
    if quantity >= line.quantity:
        return None
    return TakenBack(number, line.quantity - quantity, line.amount - amount)


def part_of(original: Original, number: int, quantity: int) -> TakenBack:
    """So much of a line; its amount is what the whole is worth less what the rest is worth."""
    left = left_of(original, number)
    if left is None or quantity > left.quantity:
        bought = original.lines[number - 1].quantity
        raise refusals.ReturnExceedsSale(
            f"line {number}: {quantity / 1000:g} wanted back, "
            f"{(left.quantity if left else 0) / 1000:g} of {bought / 1000:g} left",
            line=str(number),
        )
    if quantity in (0, left.quantity):
        return left
    line = original.lines[number - 1]
    kept = share(line.amount, left.quantity - quantity, line.quantity)
    return TakenBack(number, quantity, left.amount - kept)


def share(amount: int, part: int, whole: int) -> int:
    """The part of an amount, rounded half up: what is kept, so that parts add up to the whole."""
    return (2 * amount * part + whole) // (2 * whole)


def kept_lines(original: Original, back: Iterable[TakenBack] = ()) -> list[NumberedLine]:
    """The lines as if only what was not returned had been bought, under their old numbers."""
    returned = dict(original.returned)
    for taken in back:
        quantity, amount = returned.get(taken.line, (0, 0))
        returned[taken.line] = quantity + taken.quantity, amount + taken.amount
    kept = []
    for number, line in enumerate(original.lines, 1):
        if number not in returned:
            kept.append((number, line))
            continue
        quantity, amount = returned[number]
        if quantity < line.quantity:
            kept.append((number, part_line(line, line.quantity - quantity, line.amount - amount)))
    return kept


def part_line(line: Line, quantity: int, amount: int) -> Line:
    return msgspec.structs.replace(
        line,
        quantity=quantity,
        amount=amount,
        tax=share(line.tax, quantity, line.quantity),
        discount=share(line.discount, quantity, line.quantity),
    )


def is_origin(document: Document, command: RecordReturn) -> bool:
    """Whether a document is the sale that a return names, by its id or by its receipt."""
    if document.type is not DocumentType.SALE or document.refused:
        return False
    if document.wallet_id != command.wallet_id:
        return False
    origin = command.origin
    if origin.sale_id:
        return document.document_id == origin.sale_id
    return (document.store, document.terminal, document.receipt_number) == (
        origin.store,
        origin.terminal,
        origin.receipt_number,
    )


def original_of(sale: Document) -> Original:
    """A sale as a return of it sees it when nothing came back yet."""
    return Original(
        sale.document_id,
        sale.store,
        sale.terminal,
        sale.receipt_number,
        sale.business_time,
        sale.currency,
        sale.policy_version,
        lines_from_json(sale.lines_json),
        {},
        standing=sale.standing,
        tender=sale.tender,
        sequence=sale.sequence,
    )


def check_original(command: RecordReturn, original: Original | None) -> Original:
    """Refuses: UnknownSale, SaleVoided, SaleHasReturns, ReturnBeforeSale."""
    if original is None:
        raise refusals.UnknownSale("no such sale is recorded for this card")
    if original.voided:
        raise refusals.SaleVoided("the sale was voided")
    if command.void and original.return_ids:
        raise refusals.SaleHasReturns("goods of the sale were returned; return the rest instead")
    if command.business_time < original.business_time:
        raise refusals.ReturnBeforeSale("the business time lies before that of the sale")
    return original


def record_return(
    command: RecordReturn,
    wallet: WalletState,
    circumstances: Circumstances,
    found: Original | None,
) -> Document:
    """Refuses: what check_time, check_original and taken_back refuse."""
    check_time(command.business_time, circumstances)
    original = check_original(command, found)
    back = taken_back(original, command)
    earning = circumstances.rules.earning(original.policy_version)
    policy = earning.policy
    returned = original.returned_amount + sum(taken.amount for taken in back)
    before = grants_of(original, kept_lines(original), earning, original.returned_amount)
    left = kept_lines(original, back)
    after = grants_of(original, left, earning, returned)
    document_id = circumstances.next_id()
    paid = pay_back(document_id, returned, command, wallet, original, circumstances)
    posted = post_changes(
        document_id,
        changes_between(before, after),
        wallet,
        original,
        policy.settings.clawback,
        lived=term_now(policy, command, wallet, original),
        paid=paid,
    )
    document = msgspec.structs.replace(
        _document(document_id, command, wallet, original, back, posted),
        tier_base=earning.tier_base(after),
        tier_base_before=earning.tier_base(before),
        tender=tender_back(original, paid, returned, policy),
    )
    if posted.forgiven and policy.settings.clawback is not Clawback.PENDING_ONLY:
        forgive(document, wallet)
    if not left:
        wallet.forget_activity(original.business_time, original.active_day_without)
        whole = Flag.WHOLE_SALE.value
        document = msgspec.structs.replace(document, flags=whole, visits=-1)
    return document


def _document(
    document_id: int,
    command: RecordReturn,
    wallet: WalletState,
    original: Original,
    back: Sequence[TakenBack],
    posted: Posted,
) -> Document:
    return Document(
        document_id,
        command.wallet_id,
        command.request_id,
        command.body_hash,
        DocumentType.VOID if command.void else DocumentType.RETURN,
        command.business_time,
        wallet.balance,
        wallet.next_sequence(),
        command.store,
        command.terminal,
        command.receipt_number,
        original.currency,
        msgspec.json.encode(back).decode(),
        -sum(taken.amount for taken in back),
        original_id=original.document_id,
        policy_version=original.policy_version,
        points_forgiven=posted.forgiven,
        entries=posted.entries,
        lots=posted.lots,
        lot_uses=summed(posted.uses),
        standing=original.standing,
        original_time=original.business_time,
    )


def pay_back(
    document_id: int,
    returned: int,
    command: RecordReturn,
    wallet: WalletState,
    original: Original,
    circumstances: Circumstances,
) -> Restored:
    """Give back points that the sale was paid with, as goods worth so much came back by now; the
    last burned first.
    """
    policy = circumstances.rules.book.version(original.policy_version)
    points = points_due_back(original, returned, policy)
    if original.tender is None or not points:
        return Restored()
    return restore(
        wallet,
        document_id,
        last_burned(still_burned(original.tender, original.given_back), points),
        left_at=original.sequence,
        business_time=command.business_time,
        life=circumstances.rules.life_at(command.business_time),
    )


def term_now(
    policy: Policy, command: RecordReturn, wallet: WalletState, original: Original
) -> Term:
    """The term of points that the rest of a sale earns beside what it did: the sale's own, and
    available where those already are.
    """
    lived = term(policy.life, original.business_time, wallet.enrol_day)
    if lived.available_time is not None and lived.available_time <= command.business_time:
        return msgspec.structs.replace(lived, available_time=None)
    return lived


def changed_grants(original: Original, back: Sequence[TakenBack], earning: Earning) -> list[Change]:
    """By how much each rule's points change when these lines go, recomputed from what is left."""
    returned = original.returned_amount
    comes_back = sum(taken.amount for taken in back)
    return changes_between(
        grants_of(original, kept_lines(original), earning, returned),
        grants_of(original, kept_lines(original, back), earning, returned + comes_back),
    )


def grants_of(
    original: Original, lines: Iterable[NumberedLine], earning: Earning, returned: int
) -> list[Grant]:
    """What lines of a sale earn, as the sale did, when goods worth so much came back."""
    left = tender_left(original, returned, earning.policy)
    return earning.earn(
        earning_lines(lines, left, earning.policy),
        store=original.store,
        business_time=original.business_time,
        standing=original.standing,
    )


def changes_between(had_grants: Iterable[Grant], has_grants: Iterable[Grant]) -> list[Change]:
    before, after = by_effect(had_grants), by_effect(has_grants)
    changes = []
    for effect in (*before, *(effect for effect in after if effect not in before)):
        _, kind = effect
        had = before[effect].points if effect in before else 0
        has = after[effect].points if effect in after else 0
        if has != had:
            changes.append((kind, has - had, before.get(effect) or after[effect]))
    return changes


def by_effect(grants: Iterable[Grant]) -> dict[tuple[str, PointKind], Grant]:
    """Grants by rule and kind."""
    return {(grant.rule, kind): grant for grant in grants for kind in grant.kinds}


def still_burned(tender: Tender, given_back: int) -> list[LotPart]:
    """What of a tender's points earlier returns left burned; they gave the last burned back."""
    return first_points(tender.parts, tender.points - given_back)


def tender_back(original: Original, paid: Restored, returned: int, policy: Policy) -> Tender | None:
    """What of a tender a return gave back, and what of the goods' price that was."""
    if original.tender is None:
        return None
    before = tender_left(original, original.returned_amount, policy)
    amount = before - tender_left(original, returned, policy)
    parts = tuple(LotPart(each.target, each.points) for each in paid.refunded)
    return Tender(sum(part.points for part in parts), amount, parts)
