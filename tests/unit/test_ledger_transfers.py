"""Points that leave one wallet for another: which lots, on which terms, and within which limits."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from services.ledger.domain.checking import check_document
from services.ledger.domain.circumstances import Rules
from services.ledger.domain.documents import Account, Balance, Document, DocumentType, Entry
from services.ledger.domain.lots import LotUse, SentPart
from services.ledger.domain.point_life import MICROS_PER_DAY, BurnOrder, Expiry, PointLife, Term
from services.ledger.domain.policy import Clawback, PolicyInvalid, Settings, check
from services.ledger.domain.receipt import explanation
from services.ledger.domain.refusals import InsufficientPoints
from services.ledger.domain.transfer_rules import PERIOD, Sent, TransferRules, check_transfer
from services.ledger.domain.transferring import (
    LOTS_MAX,
    SOURCES_MAX,
    Source,
    sent_parts,
    sources_of,
)
from services.ledger.domain.wallet import REPAID
from services.plumbing.errors import Refused
from tests.unit.ledger_baskets import QUALIFYING, REDEEMABLE, line, per_amount, policy
from tests.unit.ledger_till import DAY, Till, refusal, standing

TEN_DAYS = PointLife(expiry=Expiry.DAYS, expiry_count=10)
IDLE_YEAR = PointLife(expiry=Expiry.INACTIVITY, expiry_count=12)
BOTH = (REDEEMABLE, QUALIFYING)
NOW = 1_000 * MICROS_PER_DAY
HOUR = MICROS_PER_DAY // 24


def till(life: PointLife = TEN_DAYS, **fields: Any) -> Till:
    """A point of both kinds per dollar."""
    return Till(policy(per_amount(kinds=BOTH), life=life, **fields))


def with_lots(*points: int, life: PointLife = TEN_DAYS, **fields: Any) -> Till:
    """A wallet with a lot of each sale, each a day younger than the one before."""
    shop = till(life, **fields)
    for each in points:
        shop.sale(line(each * 100))
        shop.now += DAY
    return shop


def received(shop: Till) -> list[tuple[int, int, int, Term]]:
    """The lots of a wallet: points, what remains, when they were earned, and on which terms."""
    return [
        (lot.points, lot.remaining, lot.earn_time, lot.term) for lot in shop.wallet.lots.values()
    ]


def test_sending_takes_the_lots_that_expire_soonest_and_says_how_they_live() -> None:
    shop = with_lots(5, 5, 5)
    first, second, _ = shop.wallet.lots.values()
    document = shop.send(7)
    assert document.type is DocumentType.SEND
    assert document.entries == [Entry(1, REDEEMABLE, Account.TRANSFER, -7)]
    assert document.lot_uses == [LotUse(1, first.id, 5), LotUse(1, second.id, 2)]
    assert document.balance == Balance(available=8, qualifying=15, lifetime=15)
    assert sent_parts(document) == (
        SentPart(first.id, 5, first.earn_time, first.term.expire_time),
        SentPart(second.id, 2, second.earn_time, second.term.expire_time),
    )
    assert document.receipt_number == "7"


def test_sending_takes_the_oldest_lots_where_these_are_spent_first() -> None:
    shop = with_lots(5, 5, life=PointLife(burn_order=BurnOrder.OLDEST))
    assert [part.lot for part in sent_parts(shop.send(6))] == [(1, 1), (2, 1)]


def test_points_that_are_held_pending_or_over_cannot_be_sent() -> None:
    shop = with_lots(5, 5, life=PointLife(pending_days=1, expiry=Expiry.DAYS, expiry_count=4))
    shop.activate()
    shop.hold(2)
    shop.sale(line(900))
    before = standing(shop)
    assert refusal(shop.send(9)) == ("INSUFFICIENT_POINTS", {"wanted": "9", "available": "8"})
    shop.now += 2 * DAY
    assert refusal(shop.send(6)) == ("INSUFFICIENT_POINTS", {"wanted": "6", "available": "5"})
    assert standing(shop) == before


def test_a_blocked_member_sends_nothing() -> None:
    shop = with_lots(5)
    shop.wallet.spending_blocked = True
    before = standing(shop)
    assert refusal(shop.send(1)) == ("MEMBER_BLOCKED", {})
    assert standing(shop) == before


def test_more_lots_than_go_at_once_are_refused_and_what_can_go_is_said() -> None:
    shop = with_lots(*[1] * (LOTS_MAX + 1), life=PointLife())
    before = standing(shop)
    document = shop.send(LOTS_MAX + 1)
    assert refusal(document) == ("TRANSFER_TOO_LARGE", {"points_max": str(LOTS_MAX)})
    assert standing(shop) == before
    assert not shop.send(LOTS_MAX).refused


def test_what_is_received_lives_as_it_did() -> None:
    shop, other = with_lots(5, 5), till()
    first, second = shop.wallet.lots.values()
    document = other.receive(*sent_parts(shop.send(7)))
    assert document.type is DocumentType.RECEIVE
    assert received(other) == [
        (5, 5, first.earn_time, first.term),
        (2, 2, second.earn_time, second.term),
    ]
    assert [(e.account, e.points) for e in document.entries] == [
        (Account.TRANSFER, 5),
        (Account.TRANSFER, 2),
    ]
    assert document.lots == list(other.wallet.lots.values())


def test_what_is_received_was_not_earned_and_is_no_activity() -> None:
    shop, other = with_lots(5), till()
    other.receive(*sent_parts(shop.send(5)))
    assert other.wallet.balance == Balance(available=5)
    assert other.wallet.active_day is None


def test_points_sent_there_and_back_are_the_same_again() -> None:
    shop, other = with_lots(5, 5), till()
    before = [(points, *rest) for points, _, *rest in received(shop)]
    other.receive(*sent_parts(shop.send(10)))
    shop.receive(*sent_parts(other.send(10)))
    assert [(left, *rest) for _, left, *rest in received(shop) if left] == before


def test_points_that_activity_prolongs_end_for_the_other_as_they_would_have() -> None:
    shop, other = with_lots(5, life=IDLE_YEAR), till(IDLE_YEAR)
    shop.now += 40 * DAY
    shop.sale(line(10))
    [lot] = shop.wallet.lots.values()
    [part] = sent_parts(shop.send(5))
    assert lot.term.expire_time is not None
    assert part.expire_time is not None
    assert part.expire_time > lot.term.expire_time
    assert part.inactive_months == 12
    other.receive(part)
    [lot] = other.wallet.lots.values()
    assert lot.term == Term(expire_time=part.expire_time, inactive_months=12)


def test_what_the_other_owes_is_repaid_out_of_what_they_receive() -> None:
    shop = with_lots(5)
    other = till(settings=Settings(clawback=Clawback.ALLOW_NEGATIVE))
    sold = other.sale(line(400))
    other.burn(4)
    other.give_back(sold)
    assert other.wallet.overdrawn == 4
    document = other.receive(*sent_parts(shop.send(5)))
    assert (other.wallet.available, other.wallet.overdrawn) == (1, 0)
    assert document.lot_uses == [LotUse(REPAID, (document.document_id, 1), 4)]
    assert (document.balance.lifetime, document.balance.qualifying) == (0, 0)


def test_points_that_were_sent_are_spent_when_their_sale_comes_back() -> None:
    shop = till()
    sold = shop.sale(line(500))
    shop.send(3)
    back = shop.give_back(sold)
    assert back.points_forgiven == 3
    assert shop.wallet.balance == Balance(lifetime=3)


def test_an_entry_says_in_a_sentence_what_it_is() -> None:
    shop, other = with_lots(7), till()
    sent = shop.send(7)
    assert explanation(sent, sent.entries[0]) == "7 points sent to another member"
    came = other.receive(*sent_parts(sent))
    assert explanation(came, came.entries[0]) == "7 points received from a friend"


def test_the_wallet_that_has_enough_gives_all_of_it() -> None:
    assert sources_of([3, 1, 2], {1: 10, 2: 10, 3: 9}, 10) == [Source(1, 10)]


def test_where_none_has_enough_several_give_what_they_have_in_their_order() -> None:
    available = {1: 10, 2: -5, 3: 9, 4: 0}
    assert sources_of([3, 1, 2, 4, 5], available, 15) == [Source(3, 9), Source(1, 6)]
    with pytest.raises(InsufficientPoints) as caught:
        sources_of([3, 1, 2, 4, 5], available, 20)
    assert caught.value.metadata == {"wanted": "20", "available": "19"}


def test_no_more_wallets_give_than_go_at_once() -> None:
    wallets = range(1, SOURCES_MAX + 2)
    each = dict.fromkeys(wallets, 1)
    assert len(sources_of(wallets, each, SOURCES_MAX)) == SOURCES_MAX
    with pytest.raises(InsufficientPoints):
        sources_of(wallets, each, SOURCES_MAX + 1)


def problems(document: Document, **changes: Any) -> tuple[str, ...]:
    return check_document(msgspec.structs.replace(document, **changes), None, Rules([])).problems


def test_what_a_document_moved_is_what_it_says() -> None:
    shop, other = with_lots(5, 5), till()
    sent = shop.send(7)
    for document, points in ((sent, -7), (other.receive(*sent_parts(sent)), 7)):
        assert problems(document) == ()
        assert problems(document, lines_json="[[[1,1],5,0,null,0]]") == (
            f"it moved {points} points and says {points // abs(points) * 5}",
        )
        assert problems(document, lines_json="{}") == ("what it is about cannot be read",)
        [entry, *_] = document.entries
        other_account = msgspec.structs.replace(entry, account=Account.ISSUANCE, points=points)
        assert problems(document, entries=[other_account]) == (
            "its entries are against another account",
        )


def allowed(rules: TransferRules | None, points: int, *sent: Sent, received: int = 0) -> None:
    check_transfer(rules, points, sent=sent, received=received, now=NOW)


def why(call: Callable[[], None]) -> tuple[str, dict[str, str]]:
    with pytest.raises(Refused) as caught:
        call()
    return caught.value.reason, caught.value.metadata


def test_points_are_sent_only_where_a_policy_says_so() -> None:
    assert why(lambda: allowed(None, 1)) == ("TRANSFERS_OFF", {})
    allowed(TransferRules(), 10**9)


def test_a_transfer_is_as_large_as_the_rules_say() -> None:
    rules = TransferRules(points_min=10, points_max=100)
    assert why(lambda: allowed(rules, 9)) == ("TRANSFER_TOO_SMALL", {"points_min": "10"})
    assert why(lambda: allowed(rules, 101)) == ("TRANSFER_TOO_LARGE", {"points_max": "100"})
    allowed(rules, 10)
    allowed(rules, 100)


def test_more_than_a_limit_of_any_time_is_too_large() -> None:
    for rules in (
        TransferRules(points_max=100, points_sent_max=50),
        TransferRules(points_received_max=50),
    ):
        assert why(lambda rules=rules: allowed(rules, 51)) == (  # type: ignore[misc]
            "TRANSFER_TOO_LARGE",
            {"points_max": "50"},
        )


def test_a_limit_says_what_is_left_and_when_so_much_fits_again() -> None:
    rules = TransferRules(points_sent_max=100)
    sent = [Sent(NOW - 20 * DAY, 30), Sent(NOW - 10 * DAY, 40), Sent(NOW - 5 * DAY, 10)]
    allowed(rules, 20, *sent)
    reached = {"limit": "points_sent", "left": "20"}
    for points, day in ((21, "1972-10-07"), (50, "1972-10-07"), (51, "1972-10-17")):
        assert why(lambda points=points: allowed(rules, points, *sent)) == (  # type: ignore[misc]
            "TRANSFER_LIMIT_REACHED",
            {**reached, "until": f"{day}T00:00:00+00:00"},
        )
    # By then the oldest counts no longer, and it fits.
    later = NOW - 20 * DAY + PERIOD
    check_transfer(rules, 50, sent=sent[1:], received=0, now=later)


def test_transfers_of_a_day_are_counted() -> None:
    rules = TransferRules(transfers_per_day_max=2)
    older = Sent(NOW - MICROS_PER_DAY, 1)
    first, second = Sent(NOW - 20 * HOUR, 1), Sent(NOW - HOUR, 1)
    allowed(rules, 1, older, second)
    assert why(lambda: allowed(rules, 1, older, first, second)) == (
        "TRANSFER_LIMIT_REACHED",
        {"limit": "transfers_per_day", "left": "0", "until": "1972-09-27T04:00:00+00:00"},
    )


def test_what_others_sent_a_member_is_not_said_to_a_sender() -> None:
    rules = TransferRules(points_received_max=100)
    allowed(rules, 40, received=60)
    assert why(lambda: allowed(rules, 41, received=60)) == (
        "TRANSFER_LIMIT_REACHED",
        {"limit": "points_received"},
    )


def test_rules_that_allow_no_transfer_at_all_are_refused() -> None:
    with pytest.raises(PolicyInvalid) as caught:
        check(policy(per_amount(), transfers=TransferRules(points_min=11, points_sent_max=10)))
    assert [v.field for v in caught.value.violations] == ["policy.transfers.points_min"]
    check(policy(per_amount(), transfers=TransferRules(points_min=10, points_sent_max=10)))
