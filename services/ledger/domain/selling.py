"""Sales: what a basket earns, posted to a wallet. Pure; time is an argument."""

from collections.abc import Iterable, Mapping, Sequence

from services.ledger.domain import refusals
from services.ledger.domain.basket import Line, NumberedLine, Sale
from services.ledger.domain.circumstances import Circumstances, check_time
from services.ledger.domain.documents import (
    Account,
    Balance,
    CardState,
    Document,
    DocumentType,
    Entry,
    Flag,
    RecordSale,
)
from services.ledger.domain.earning import Earning, Grant
from services.ledger.domain.lots import Lot, LotUse, Tender
from services.ledger.domain.point_life import Term, term
from services.ledger.domain.policy import PointKind
from services.ledger.domain.standing import Standing
from services.ledger.domain.tendering import BURNED, earning_lines, take_tender
from services.ledger.domain.wallet import WalletState

# Bound once: looking a member up in its class costs as much as making an entry.
ISSUANCE = Account.ISSUANCE
SALE = DocumentType.SALE
ACTIVE = CardState.ACTIVE.value
REDEEMABLE = PointKind.REDEEMABLE
NO_TIER: Mapping[str, str] = {}


def record_sale(
    command: RecordSale,
    wallet: WalletState,
    circumstances: Circumstances,
    *,
    tiers: Mapping[str, str] = NO_TIER,
    duplicate: bool,
) -> Document:
    """tiers are the wallet's at the business time, by group. Refuses: CardBlocked, NoPolicyInForce,
    BusinessTimeInFuture, BusinessTimeTooOld, WrongCurrency.
    """
    sale = command.sale
    if command.card_state != ACTIVE:
        raise refusals.CardBlocked("the card is blocked", state=CardState(command.card_state).name)
    check_time(sale.business_time, circumstances)
    earning = circumstances.rules.earning_at(sale.business_time, sale.currency)
    member = not command.unknown_card
    standing = circumstances.tiers.standing(tiers, sale.business_time, member=member)
    lines = sale.lines
    amount = sum([line.amount for line in lines])
    tender, burned = take_tender(sale, wallet, earning.policy, due=amount, known=member)
    grants = grants_of(sale, lines, tender, earning, standing)
    document_id = circumstances.next_id()
    lived = term(earning.policy.life, sale.business_time, wallet.enrol_day)
    entries = [burned_entry(tender.points)] if tender is not None else []
    lots, uses = credit_grants(document_id, grants, wallet, sale.business_time, lived, entries)
    wallet.note_activity(sale.business_time)
    return Document(
        document_id,
        command.wallet_id,
        command.request_id,
        command.body_hash,
        SALE,
        sale.business_time,
        Balance(wallet.available, wallet.pending, wallet.qualifying, wallet.lifetime, wallet.held),
        wallet.next_sequence(),
        *(sale.store, sale.terminal, sale.receipt_number, sale.currency),
        sale.lines_json,
        amount,
        flags_of(command, duplicate=duplicate),
        policy_version=earning.policy.version,
        entries=entries,
        lots=lots,
        lot_uses=[*burned, *uses] if burned else uses,
        standing=standing,
        tier_base=earning.tier_base(grants),
        visits=1,
        tender=tender,
    )


def grants_of(
    sale: Sale,
    lines: Sequence[Line],
    tender: Tender | None,
    earning: Earning,
    standing: Standing,
) -> list[Grant]:
    """What a basket of lines earns on what was not paid with points."""
    numbered: Iterable[NumberedLine] = enumerate(lines, 1)
    if tender is not None:
        numbered = earning_lines(numbered, tender.amount, earning.policy)
    return earning.earn(
        numbered, store=sale.store, business_time=sale.business_time, standing=standing
    )


def flags_of(command: RecordSale, *, duplicate: bool) -> int:
    flags = Flag.POSSIBLE_DUPLICATE.value if duplicate else 0
    return flags | Flag.UNKNOWN_CARD.value if command.unknown_card else flags


def credit_grants(
    document_id: int,
    grants: Sequence[Grant],
    wallet: WalletState,
    business_time: int,
    lived: Term,
    entries: list[Entry],
) -> tuple[list[Lot], list[LotUse]]:
    """Post grants to a wallet: an entry for each rule and kind, after those there are, a lot for
    each redeemable one.
    """
    lots: list[Lot] = []
    uses: list[LotUse] = []
    for grant in grants:
        points = grant.points
        for kind in grant.kinds:
            ordinal = len(entries) + 1
            entries.append(issued(ordinal, kind, points, grant))
            if kind is REDEEMABLE:
                lot, repaid = wallet.credit(
                    (document_id, ordinal), points, earn_time=business_time, term=lived
                )
                lots.append(lot)
                uses += repaid
            else:
                wallet.qualifying += points
    return lots, uses


def burned_entry(points: int) -> Entry:
    """The points a sale was paid with."""
    return Entry(BURNED, REDEEMABLE, Account.REDEMPTION, -points)


def issued(ordinal: int, kind: PointKind, points: int, grant: Grant) -> Entry:
    return Entry(
        ordinal,
        kind,
        ISSUANCE,
        points,
        grant.rule,
        grant.policy_version,
        grant.lines,
        grant.basis,
        grant.title,
    )


def quote(
    sale: Sale,
    card_state: CardState,
    wallet: WalletState,
    circumstances: Circumstances,
    *,
    tiers: Mapping[str, str],
    unknown_card: bool,
) -> Document:
    """The document a sale would become. Refuses what record_sale refuses."""
    command = RecordSale(wallet.wallet_id, "", "", sale, card_state, unknown_card)
    return record_sale(command, wallet, circumstances, tiers=tiers, duplicate=False)
