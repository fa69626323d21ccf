"""Outstanding points, breakage, what another expiry changes, and what IFRS 15 makes of them."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from services.ledger.domain.contract_liability import (
    ContractLiability,
    contract_liability,
    difference,
    worth,
)
from services.ledger.domain.documents import Account
from services.ledger.domain.liability import (
    Books,
    Breakage,
    Changed,
    Cohort,
    Liability,
    Moved,
    Movement,
    Outstanding,
    changed_by,
    last_day_of,
    liability_of,
    together,
)
from services.ledger.domain.point_life import Expiry, PointLife
from services.ledger.domain.runoff import Flow, month_of

JANUARY, FEBRUARY, MARCH = (month_of(date(2024, month, 1)) for month in (1, 2, 3))
AS_OF = date(2024, 3, 31)
# Of the points of three months 128 were burned: 10 % at once, 20 % of the rest in the month after,
# half of what was left then in the third. The books' unit tests of the run-off work it out.
BOOKS = Books(
    moved={
        Account.ISSUANCE: Moved(before=300, within=100, later=7),
        Account.REDEMPTION: Moved(before=-58, within=-70),
    },
    account_points=279,
    flows={
        JANUARY: {
            JANUARY: Flow(earned=100, burned=10),
            FEBRUARY: Flow(burned=18),
            MARCH: Flow(burned=36),
        },
        FEBRUARY: {FEBRUARY: Flow(earned=200, burned=30), MARCH: Flow(burned=34)},
        MARCH: {MARCH: Flow(earned=100)},
    },
    # The last day of the second month after they were earned.
    closing=[
        Outstanding(date(2024, 1, 15), date(2024, 3, 31), 36),
        Outstanding(date(2024, 2, 10), date(2024, 4, 30), 136),
        Outstanding(date(2024, 3, 5), date(2024, 5, 31), 100),
    ],
    opening=[
        Outstanding(date(2024, 1, 15), date(2024, 3, 31), 72),
        Outstanding(date(2024, 2, 10), date(2024, 4, 30), 170),
    ],
)


def test_the_movement_leads_from_opening_to_closing_and_to_the_books() -> None:
    found = liability_of(BOOKS, AS_OF)
    assert found.movement == Movement(date(2024, 3, 1), 242, 100, -70, 0, 0, 0)
    assert (found.movement.closing, found.later, found.account_points) == (272, 7, 279)
    assert found.ties


def test_a_point_too_many_in_the_books_does_not_tie() -> None:
    assert not liability_of(replace(BOOKS, account_points=280), AS_OF).ties


def test_points_are_expected_to_be_spent_at_the_ages_they_have_left() -> None:
    found = liability_of(BOOKS, AS_OF)
    assert found.cohorts == [
        # Their time is over.
        Cohort(JANUARY, 2, 36, redeemed=0),
        # Half of what reaches the third month is spent in it.
        Cohort(FEBRUARY, 1, 136, redeemed=68),
        # 1 - 0.8 * 0.5
        Cohort(MARCH, 0, 100, redeemed=60),
    ]
    assert (found.breakage.expected, found.redeemed, found.owed) == (144, 128, 0)
    assert found.breakage.estimated
    assert found.breakage.low <= 144 <= found.breakage.high <= 272
    # 128 burned and 128 to be burned of 400.
    assert found.ultimate_redemption_rate == pytest.approx(0.64)
    # 72 * 0.5 and 170 * (1 - 0.8 * 0.5), as 1 March saw them.
    assert found.opening_redeemed == 36 + 102


def test_a_month_of_which_nothing_is_left_is_no_cohort() -> None:
    spent = Outstanding(date(2023, 12, 1), date(2024, 2, 29), 0)
    found = liability_of(replace(BOOKS, closing=[spent, *BOOKS.closing]), AS_OF)
    assert [cohort.earn_month for cohort in found.cohorts] == [JANUARY, FEBRUARY, MARCH]


def test_points_that_wallets_owe_are_not_outstanding() -> None:
    books = replace(
        BOOKS,
        moved={**BOOKS.moved, Account.ISSUANCE: Moved(before=295, within=100, later=7)},
        account_points=274,
    )
    found = liability_of(books, AS_OF)
    assert (found.movement.closing, found.outstanding, found.owed) == (267, 272, 5)
    assert found.ties


def test_where_nothing_was_ever_spent_no_breakage_is_expected() -> None:
    flows = {month: {month: Flow(earned=100)} for month in (JANUARY, FEBRUARY)}
    found = liability_of(replace(BOOKS, flows=flows), AS_OF)
    assert found.breakage == Breakage(estimated=False, cohorts=2, expected=0, low=0, high=272)
    assert found.redeemed == 272


def test_one_month_of_history_is_too_short() -> None:
    found = liability_of(replace(BOOKS, flows={JANUARY: BOOKS.flows[JANUARY]}), AS_OF)
    assert (found.breakage.estimated, found.breakage.cohorts) == (False, 1)


def test_nothing_outstanding_is_nothing_owed() -> None:
    found = liability_of(Books({}, 0, {}, [], []), AS_OF)
    assert (found.outstanding, found.redeemed, found.ultimate_redemption_rate) == (0, 0, 0.0)
    assert found.ties


def test_a_month_less_of_life_lapses_the_oldest_and_leaves_less_to_be_spent() -> None:
    life = PointLife(expiry=Expiry.MONTH_END, expiry_count=1)
    # January's would be over, February's too; March's could be spent in April alone, at 20 %.
    assert changed_by(BOOKS, AS_OF, life) == Changed(lapsed=172, breakage=80, redeemed=20)
    found = liability_of(BOOKS, AS_OF)
    changed = changed_by(BOOKS, AS_OF, life)
    assert difference(found, changed, Decimal("0.5")) == 10 - 64


def test_points_that_never_expire_are_spent_for_longer() -> None:
    changed = changed_by(BOOKS, AS_OF, PointLife(expiry=Expiry.NEVER))
    assert changed.lapsed == 0
    assert changed.redeemed > liability_of(BOOKS, AS_OF).redeemed


def test_the_same_expiry_changes_nothing() -> None:
    same = PointLife(expiry=Expiry.MONTH_END, expiry_count=2)
    changed = changed_by(BOOKS, AS_OF, same)
    assert changed == Changed(lapsed=36, breakage=108, redeemed=128)
    assert difference(liability_of(BOOKS, AS_OF), changed, Decimal(1)) == 0


@pytest.mark.parametrize(
    ("expiry", "count", "last_day"),
    [
        (Expiry.NEVER, 0, None),
        (Expiry.DAYS, 30, date(2024, 2, 29)),
        (Expiry.MONTHS, 12, date(2025, 1, 30)),
        (Expiry.MONTH_END, 12, date(2025, 1, 31)),
        (Expiry.YEAR_END, 1, date(2024, 12, 31)),
    ],
)
def test_the_last_day_to_spend_follows_from_the_day_of_earning(
    expiry: Expiry, count: int, last_day: date | None
) -> None:
    life = PointLife(expiry=expiry, expiry_count=count)
    assert last_day_of(life, date(2024, 1, 31)) == last_day


def test_the_books_of_shards_add_up() -> None:
    found = liability_of(together([BOOKS, BOOKS]), AS_OF)
    one = liability_of(BOOKS, AS_OF)
    assert found.movement.closing == 2 * one.movement.closing
    assert found.breakage.expected == 2 * one.breakage.expected
    assert found.ultimate_redemption_rate == one.ultimate_redemption_rate
    assert found.ties


def test_points_are_worth_minor_units_half_up() -> None:
    assert [worth(points, Decimal("0.5")) for points in (1, 2, -1, 3)] == [1, 1, -1, 2]


def test_the_example_of_the_standard_comes_out() -> None:
    """IFRS 15 IE267-IE270: of 10,000 points for 8,676 9,500 are expected to be spent; 4,500 are in
    the first year.
    """
    found = Liability(
        as_of=date(2024, 1, 31),
        movement=Movement(date(2024, 1, 1), 0, 10_000, -4_500, 0, 0, 0),
        account_points=5_500,
        later=0,
        cohorts=[Cohort(JANUARY, 0, 5_500, redeemed=5_000)],
        breakage=Breakage(estimated=True, cohorts=12, expected=500, low=400, high=600),
        opening_redeemed=0,
        ultimate_redemption_rate=0.95,
    )
    value = Decimal(8_676) / 9_500
    assert contract_liability(found, value) == ContractLiability(
        closing=4_566,
        opening=0,
        deferred=8_676,
        recognised=4_110,
        breakage_recognised=205,
        remeasured=0,
        low=4_475,
        high=4_658,
        gross=5_023,
    )
