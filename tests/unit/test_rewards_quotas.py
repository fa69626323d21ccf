"""How many of a reward may be taken: in all, on a day, in a store, by a member in a period."""

from datetime import date
from uuid import UUID

from services.plumbing.errors import Refused
from services.rewards.domain.quotas import (
    ALWAYS,
    Allowed,
    Claim,
    QuotaKey,
    QuotaKind,
    Taking,
    at_once,
    claim,
    looked_at,
    pieces,
    take,
)
from services.rewards.domain.rewards import MemberLimit, Period, StockSettings

MEMBER = UUID("00000000-0000-4000-8000-000000000001")
SAME = UUID("00000000-0000-4000-8000-000000000002")
# A Thursday.
DAY = date(2026, 1, 1)
TOTAL = QuotaKey("coffee", QuotaKind.TOTAL, "", ALWAYS)
ONE_STORE = QuotaKey("coffee", QuotaKind.STORE, "31", ALWAYS)


def claimed(stock: StockSettings, *limits: MemberLimit, store: str = "") -> Claim:
    return claim("coffee", stock, limits, member_id=MEMBER, store=store, day=DAY)


def reasons(answers: list[Refused | None]) -> list[tuple[str, str] | None]:
    return [
        None if answer is None else (answer.reason, next(iter(answer.metadata.values())))
        for answer in answers
    ]


def test_what_is_not_limited_falls_under_no_quota() -> None:
    assert claimed(StockSettings()) == {}
    assert claimed(StockSettings(stores={"31": 5}), store="32") == {}


def test_a_redemption_falls_under_every_limit_there_is() -> None:
    stock = StockSettings(total=9, per_day=3, stores={"31": 2})
    found = claimed(stock, MemberLimit(Period.WEEK, 1), MemberLimit(Period.EVER, 4), store="31")
    assert found == {
        TOTAL: Allowed(9),
        QuotaKey("coffee", QuotaKind.DAY, "", DAY): Allowed(3),
        ONE_STORE: Allowed(2),
        QuotaKey("coffee", QuotaKind.MEMBER_WEEK, str(MEMBER), date(2025, 12, 29)): Allowed(1),
        QuotaKey("coffee", QuotaKind.MEMBER_EVER, str(MEMBER), ALWAYS): Allowed(4),
    }


def test_those_who_come_first_are_served() -> None:
    wanted = [claimed(StockSettings(total=5))] * 3
    answers = take(wanted, {TOTAL: 3})
    assert reasons(answers) == [None, None, ("OUT_OF_STOCK", "total")]


def test_who_lacks_one_piece_takes_none() -> None:
    at_store = claimed(StockSettings(total=1, stores={"31": 0}), store="31")
    elsewhere = claimed(StockSettings(total=1))
    answers = take([at_store, elsewhere], {TOTAL: 0, ONE_STORE: 0})
    assert reasons(answers) == [("OUT_OF_STOCK", "store"), None]


def test_a_limit_below_what_is_taken_leaves_none() -> None:
    assert reasons(take([claimed(StockSettings(total=1))], {TOTAL: 4})) == [
        ("OUT_OF_STOCK", "total")
    ]


def test_a_members_limit_names_its_period() -> None:
    wanted = claimed(StockSettings(), MemberLimit(Period.DAY, 1))
    [key] = wanted
    assert reasons(take([wanted], {key: 1})) == [("MEMBER_LIMIT_REACHED", "day")]


def test_what_merged_members_have_counts_for_each_of_them() -> None:
    limit = MemberLimit(Period.EVER, 2)
    own, others = (
        QuotaKey("coffee", QuotaKind.MEMBER_EVER, str(m), ALWAYS) for m in (MEMBER, SAME)
    )
    wanted = claim(
        "coffee", StockSettings(), [limit], member_id=MEMBER, others=[SAME], store="", day=DAY
    )
    assert looked_at([wanted]) == {own: 2, others: 2}
    # A piece is taken under the member's own name alone.
    assert list(wanted) == [own]
    answers = take([wanted, wanted], {own: 0, others: 1})
    assert reasons(answers) == [None, ("MEMBER_LIMIT_REACHED", "ever")]


def test_pieces_are_counted_by_quota() -> None:
    one, other = claimed(StockSettings(total=9)), claimed(StockSettings(total=9, per_day=9))
    assert pieces([one, other]) == {TOTAL: 2, QuotaKey("coffee", QuotaKind.DAY, "", DAY): 1}


def test_claims_that_look_at_their_own_quotas_alone_are_taken_at_once() -> None:
    everywhere = claimed(StockSettings(total=5))
    at_store = claimed(StockSettings(total=5, stores={"31": 2}), store="31")
    assert at_once([everywhere, at_store]) == {TOTAL: Taking(2, 5), ONE_STORE: Taking(1, 2)}
    assert at_once([claimed(StockSettings())]) == {}


def test_claims_that_others_decide_about_are_not_taken_at_once() -> None:
    limits = [MemberLimit(Period.DAY, 1)]
    merged = claim(
        "coffee", StockSettings(), limits, member_id=MEMBER, others=[SAME], store="", day=DAY
    )
    assert at_once([merged]) is None
    # Of two versions, one of which gives less to a member.
    fewer, more = (claimed(StockSettings(), MemberLimit(Period.DAY, most)) for most in (1, 2))
    assert at_once([more, fewer]) is None
