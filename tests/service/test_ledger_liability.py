"""The liability ties to the books to the point, on whatever day it is asked for."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import grpc
import pytest
from loyalty.ledger.v1 import earn_policy_pb2, liability_pb2, liability_pb2_grpc
from sqlalchemy import Engine

from services.ledger.domain.documents import Account
from services.ledger.domain.liability import Liability, Outstanding
from services.ledger.domain.point_life import Expiry, PointLife
from services.ledger.domain.runoff import month_name
from services.ledger.storage.liability import books
from services.ledger.usecases.liability import Liabilities
from services.plumbing.database import engine, transaction
from tests.service.conftest import Serve
from tests.service.contents import contents
from tests.service.databases import Databases
from tests.service.ledger_history import SHARDS, audit_after
from tests.service.ledger_year import FIRST_DAY, LAST_DAY, live_a_year
from tests.service.refusals import refused
from tests.service.tokens import Tokens

AFTER = date(2024, 5, 31)
DAY = timedelta(days=1)
# Ends of months, days within one, and days before and after all.
DAYS = [
    date(2022, 12, 31),
    date(2023, 1, 31),
    date(2023, 5, 31),
    date(2023, 6, 15),
    date(2023, 9, 30),
    date(2024, 1, 1),
    date(2024, 4, 27),
    AFTER,
]


@pytest.fixture(scope="module")
def year_url(databases: Databases) -> Iterator[str]:
    url = databases.create("ledger")
    live_a_year(url, seed=11)
    yield url
    databases.drop(url)


@pytest.fixture
def year(year_url: str) -> Iterator[Engine]:
    source = engine(year_url, pool_size=2)
    yield source
    source.dispose()


def at(year: Engine, day: date) -> Liability:
    return Liabilities(year).at(day)[0]


def entries(year: Engine) -> list[tuple[date, Account, int]]:
    """Every redeemable entry with its business day, read one by one."""
    found = []
    with transaction(year) as connection:
        for shard in range(SHARDS):
            found += [
                (moment.date(), Account(account), points)
                for moment, account, points in connection.exec_driver_sql(
                    f"SELECT j.business_time, e.account, e.points FROM ledger_{shard:02d}.entries e"
                    f" JOIN ledger_{shard:02d}.journal j USING (document_id) WHERE e.kind = 1"
                )
            ]
    return found


def all_shards(year: Engine, columns: str, table: str, more: str = "") -> list[tuple[object, ...]]:
    with transaction(year) as connection:
        return [
            tuple(row)
            for shard in range(SHARDS)
            for row in connection.exec_driver_sql(
                f"SELECT {columns} FROM ledger_{shard:02d}.{table} {more}"
            )
        ]


def test_the_year_has_something_of_everything(year: Engine) -> None:
    accounts = Counter((account, points > 0) for _, account, points in entries(year))
    assert set(accounts) >= {
        (Account.ISSUANCE, True),
        (Account.ISSUANCE, False),
        (Account.ADJUSTMENT, True),
        (Account.ADJUSTMENT, False),
        (Account.REDEMPTION, True),
        (Account.REDEMPTION, False),
        (Account.BREAKAGE, False),
    }
    assert all_shards(year, "1", "lot_uses", "WHERE ordinal = 0")
    assert audit_after(year, "SELECT 1") == {}


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_the_movement_ties_to_the_books_to_the_point(year: Engine, day: date) -> None:
    found = at(year, day)
    month = day.replace(day=1)
    moved: Counter[Account] = Counter()
    opening = later = 0
    for entry_day, account, points in entries(year):
        if entry_day < month:
            opening += points
        elif entry_day <= day:
            moved[account] += points
        else:
            later += points
    movement = found.movement
    assert movement.from_day == month
    assert (movement.opening, found.later) == (opening, later)
    assert {
        Account.ISSUANCE: movement.issued,
        Account.REDEMPTION: movement.burned,
        Account.BREAKAGE: movement.expired,
        Account.ADJUSTMENT: movement.adjusted,
        Account.TRANSFER: movement.transferred,
    } == {account: moved[account] for account in Account}
    [given] = {
        sum(
            int(str(row[0]))
            for row in all_shards(
                year, "coalesce(sum(points), 0)", "account_movements", "WHERE kind = 1"
            )
        )
    }
    assert found.account_points == given == movement.closing + found.later
    assert found.ties


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_lots_less_what_is_owed_are_what_the_movement_closes_with(year: Engine, day: date) -> None:
    found = at(year, day)
    assert sum(cohort.points for cohort in found.cohorts) - found.owed == found.movement.closing
    breakage = found.breakage
    assert breakage.expected == sum(cohort.breakage for cohort in found.cohorts)
    assert 0 <= breakage.low <= breakage.expected <= breakage.high <= max(found.outstanding, 0)
    assert all(0 <= cohort.redeemed <= cohort.points for cohort in found.cohorts)


def test_a_month_opens_with_what_the_one_before_closed_with(year: Engine) -> None:
    day = FIRST_DAY.replace(day=1)
    while day <= LAST_DAY:
        after = (day + timedelta(days=31)).replace(day=1)
        assert at(year, after).movement.opening == at(year, after - DAY).movement.closing
        day = after


def test_after_all_of_it_the_cohorts_are_the_lots(year: Engine) -> None:
    lots: Counter[str] = Counter()
    for earned, remaining in all_shards(year, "earn_time, remaining", "lots"):
        assert isinstance(earned, datetime)
        lots[earned.astimezone(UTC).strftime("%Y-%m")] += int(str(remaining))
    found = at(year, AFTER)
    cohorts = {month_name(cohort.earn_month): cohort.points for cohort in found.cohorts}
    assert {month: points for month, points in cohorts.items() if points} == +lots
    owed = sum(int(str(row[0])) for row in all_shards(year, "overdrawn", "wallets"))
    assert found.owed == owed > 0


def test_what_ran_off_is_what_the_accounts_took(year: Engine) -> None:
    burned = expired = 0
    with transaction(year) as connection:
        for shard in range(SHARDS):
            for by_month in books(connection, f"ledger_{shard:02d}", AFTER).flows.values():
                burned += sum(flow.burned for flow in by_month.values())
                expired += sum(flow.expired for flow in by_month.values())
    sums: Counter[Account] = Counter()
    for _, account, points in entries(year):
        sums[account] += points
    assert (-burned, -expired) == (sums[Account.REDEMPTION], sums[Account.BREAKAGE])


def test_lots_whose_time_is_over_are_parted_from_the_others(year: Engine) -> None:
    """Points earned in January can be spent until the end of June, those given back in days of
    grace for longer.
    """
    day = date(2023, 6, 15)
    with transaction(year) as connection:
        found = [
            each
            for shard in range(SHARDS)
            for each in books(connection, f"ledger_{shard:02d}", day).closing
        ]
    assert found
    for each in found:
        assert isinstance(each, Outstanding)
        assert each.last_day is not None
        if each.points > 0:
            assert each.last_day > day


def test_the_same_day_has_the_same_figures_each_time(year: Engine) -> None:
    assert at(year, AFTER) == at(year, AFTER)


def test_a_shorter_life_lowers_the_figure_and_a_longer_one_does_not(year: Engine) -> None:
    day = date(2024, 3, 31)
    now, shorter = Liabilities(year).at(day, PointLife(expiry=Expiry.MONTHS, expiry_count=1))
    _, longer = Liabilities(year).at(day, PointLife(expiry=Expiry.MONTHS, expiry_count=12))
    assert now.breakage.estimated
    assert shorter is not None
    assert longer is not None
    assert shorter.redeemed < now.redeemed <= longer.redeemed
    assert shorter.lapsed > longer.lapsed == 0


async def test_accountants_ask_for_it(
    year_url: str, year: Engine, serve: Serve, tokens: Tokens
) -> None:
    ledger = await serve("ledger", year_url)
    stub = liability_pb2_grpc.LiabilityServiceStub(ledger.channel)
    before = contents(year_url)
    what_if = liability_pb2.WhatIf(expiry=earn_policy_pb2.PointLife.EXPIRY_MONTHS, expiry_count=1)
    request = liability_pb2.GetLiabilityRequest(
        as_of_day="2024-03-31", point_value_minor="0.5", what_if=what_if
    )
    answer = await stub.GetLiability(request, metadata=tokens.bearer("accounts.read"))
    found, expected = answer.liability, at(year, date(2024, 3, 31))
    assert found.ties
    assert found.movement.closing_points == expected.movement.closing
    assert [each.earn_month for each in found.cohorts] == [
        month_name(cohort.earn_month) for cohort in expected.cohorts
    ]
    assert found.breakage.expected_points == expected.breakage.expected
    money = found.contract_liability
    assert money.closing_minor == (
        money.opening_minor + money.deferred_minor - money.recognised_minor + money.remeasured_minor
    )
    assert money.low_minor <= money.closing_minor <= money.high_minor <= money.gross_minor
    assert found.what_if.difference_minor == (
        found.what_if.contract_liability_minor - money.closing_minor
    )
    assert found.what_if.difference_minor < 0
    assert contents(year_url) == before


async def test_what_makes_no_sense_is_refused(
    year_url: str, serve: Serve, tokens: Tokens, subtests: pytest.Subtests
) -> None:
    ledger = await serve("ledger", year_url)
    stub = liability_pb2_grpc.LiabilityServiceStub(ledger.channel)
    good = {"as_of_day": "2024-03-31", "point_value_minor": "1"}
    inactivity = liability_pb2.WhatIf(expiry=earn_policy_pb2.PointLife.EXPIRY_INACTIVITY)
    bad: dict[str, dict[str, object]] = {
        "as_of_day": {"as_of_day": "2024-02-30"},
        "point_value_minor": {"point_value_minor": "1e3"},
        "what_if.expiry": {"what_if": inactivity},
    }
    for field, change in bad.items():
        with subtests.test(field):
            request = liability_pb2.GetLiabilityRequest(**{**good, **change})  # type: ignore[arg-type]
            call = stub.GetLiability(request, metadata=tokens.bearer("accounts.read"))
            found = await refused(call)
            assert (found.code, found.fields) == (grpc.StatusCode.INVALID_ARGUMENT, (field,))
    request = liability_pb2.GetLiabilityRequest(**good)  # type: ignore[arg-type]
    call = stub.GetLiability(request, metadata=tokens.bearer("wallets.read"))
    assert (await refused(call)).reason == "MISSING_SCOPE"
