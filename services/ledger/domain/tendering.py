"""A part of a basket paid with points: what it is worth, what is left to earn on, what a return
gives back. Pure.
"""

from collections.abc import Iterable, Sequence

import msgspec

from services.ledger.domain import refusals
from services.ledger.domain.basket import Line, NumberedLine, Sale
from services.ledger.domain.documents import Original
from services.ledger.domain.lots import LotPart, LotUse, Tender
from services.ledger.domain.point_life import Shortfall
from services.ledger.domain.policy import Policy, TillRedemption
from services.ledger.domain.wallet import WalletState

# The ordinal of the entry that burns them: what a sale earns cannot pay for it.
BURNED = 1


def take_tender(
    sale: Sale, wallet: WalletState, policy: Policy, *, due: int, known: bool
) -> tuple[Tender | None, list[LotUse]]:
    """Burn the points a sale is paid with; due is what its lines amount to.

    Refuses: PointsNotTaken, MemberNeeded, TenderUneven, TenderExceedsSale, InsufficientPoints,
    MemberBlocked.
    """
    if not sale.tender_points:
        return None, []
    wallet.require_spending()
    redemption = policy.redemption
    if redemption is None:
        raise refusals.PointsNotTaken("the programme takes no points at the till")
    if not known:
        raise refusals.MemberNeeded("nobody enrolled with the card yet")
    order = policy.life.burn_order
    points = sale.tender_points
    if policy.life.shortfall is Shortfall.CLAMP:
        lots = wallet.spendable(sale.business_time, order)
        there = sum(lot.free for lot in lots) // redemption.points * redemption.points
        # Nothing at all is still refused.
        points = min(points, there) or points
    amount = worth(redemption, points)
    if amount > due:
        raise refusals.TenderExceedsSale(
            f"the points are worth {amount}, the basket {due}", worth=str(amount), due=str(due)
        )
    uses = wallet.burn(BURNED, points, business_time=sale.business_time, order=order)
    return Tender(points, amount, tuple(LotPart(use.lot, use.points) for use in uses)), uses


def worth(redemption: TillRedemption, points: int) -> int:
    """What points are worth at the till, in minor units. Refuses: TenderUneven."""
    steps, rest = divmod(points, redemption.points)
    if rest:
        raise refusals.TenderUneven(
            f"points are taken by {redemption.points}", step=str(redemption.points)
        )
    return steps * redemption.amount


def earning_lines(
    lines: Iterable[NumberedLine], tender_amount: int, policy: Policy
) -> Iterable[NumberedLine]:
    """The lines a basket earns on: less what was paid with points, each line its share, unless the
    policy lets the whole basket earn.
    """
    if not tender_amount or (policy.redemption and policy.redemption.whole_basket_earns):
        return lines
    return _less(list(lines), tender_amount)


def _less(lines: Sequence[NumberedLine], tender_amount: int) -> list[NumberedLine]:
    """Shares add up to the amount: each is what the lines so far bear, less those before."""
    due = sum(line.amount for _, line in lines)
    left, so_far, borne = [], 0, 0
    for number, line in lines:
        so_far += line.amount
        bears = tender_amount * so_far // due - borne if due else 0
        borne += bears
        left.append((number, _reduced(line, bears)))
    return left


def _reduced(line: Line, bears: int) -> Line:
    """A line less what of it was paid with points; its tax goes along."""
    if not bears:
        return line
    amount = line.amount - bears
    return msgspec.structs.replace(line, amount=amount, tax=line.tax * amount // line.amount)


def tender_left(original: Original, returned: int, policy: Policy) -> int:
    """What of the kept goods was paid with points, in minor units, when goods worth so much came
    back.
    """
    tender = original.tender
    if tender is None:
        return 0
    bought = sum(line.amount for line in original.lines)
    if returned >= bought:
        return 0
    if gives_nothing(policy):
        return min(tender.amount, bought - returned)
    return tender.amount - tender.amount * returned // bought


def points_due_back(original: Original, returned: int, policy: Policy) -> int:
    """The points to give back when goods worth so much came back, less those that were."""
    tender = original.tender
    if tender is None:
        return 0
    bought = sum(line.amount for line in original.lines)
    whole = returned >= bought
    if gives_nothing(policy) and not whole:
        return 0
    due = tender.points if whole else tender.points * returned // bought
    return due - original.given_back


def gives_nothing(policy: Policy) -> bool:
    """Whether a return of a part gives back money alone."""
    return policy.redemption is not None and policy.redemption.partial_return_keeps_points
