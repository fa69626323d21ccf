"""The real baskets become the requests a till would send; values read off the files by hand."""

import multiprocessing
from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import chain, islice

import pytest
from loyalty.ledger.v1 import point_of_sale_pb2
from protovalidate import Validator

from services.cli.demo.dataset import Year
from services.cli.demo.preparation import PreparedDay, prepare, prepared_days
from services.cli.demo.requests import SaleEncoder

FIRST_DAY = date(2017, 1, 1)


@pytest.fixture(scope="module")
def year() -> Year:
    return Year()


@pytest.fixture(scope="module")
def encoder(year: Year) -> SaleEncoder:
    return SaleEncoder(year.line_contents())


@pytest.fixture(scope="module")
def days(year: Year, encoder: SaleEncoder) -> Iterator[PreparedDay]:
    """The year's days, each of them once."""
    return prepare(year, encoder, FIRST_DAY)


@pytest.fixture(scope="module")
def first_day(days: Iterator[PreparedDay]) -> PreparedDay:
    return next(days)


def requests_of(day: PreparedDay) -> Iterator[point_of_sale_pb2.RecordSaleRequest]:
    for batch in day.batches:
        yield from point_of_sale_pb2.BatchRecordSalesRequest.FromString(batch.request).requests


def receipts(day: PreparedDay) -> dict[str, point_of_sale_pb2.RecordSaleRequest]:
    return {request.sale.receipt_number: request for request in requests_of(day)}


def test_year_has_every_household_and_both_its_ends(year: Year) -> None:
    households = year.households()
    assert (len(households), households[0], households[-1]) == (2469, 1, 2500)
    assert year.days() == (FIRST_DAY, date(2018, 1, 1))


def test_first_basket_is_one_bagel_with_its_whole_category_path(first_day: PreparedDay) -> None:
    request = receipts(first_day)["31198570044"]
    expected = point_of_sale_pb2.Sale(
        card_token="hh-0000900",
        store="330",
        terminal="1",
        receipt_number="31198570044",
        currency_code="USD",
        lines=[
            point_of_sale_pb2.Line(
                sku="1095275",
                description="ROLLS: BAGELS",
                category_path=["PASTRY", "ROLLS", "ROLLS: BAGELS"],
                quantity_thousandths=1000,
                amount_minor=50,
            )
        ],
    )
    expected.business_time.FromDatetime(datetime(2017, 1, 1, 11, 53, 26, tzinfo=UTC))
    assert request.sale == expected


def test_lines_keep_the_order_quantities_and_cents_of_the_basket(first_day: PreparedDay) -> None:
    lines = receipts(first_day)["31198705046"].sale.lines
    assert [
        (line.sku, line.quantity_thousandths, line.amount_minor, line.discount_minor)
        for line in lines
    ] == [
        ("1020156", 1000, 150, 29),
        ("1053875", 2000, 278, 80),
        ("1060312", 1000, 549, 50),
        ("1075313", 1000, 150, 29),
    ]


def test_discount_is_the_sum_of_the_three_kinds_of_discount(first_day: PreparedDay) -> None:
    lines = receipts(first_day)["31198795316"].sale.lines
    assert [line.discount_minor for line in lines if line.sku == "850562"] == [178 + 55 + 45]


def test_product_without_a_department_has_an_empty_category_path(first_day: PreparedDay) -> None:
    lines = receipts(first_day)["31198795316"].sale.lines
    unknown = next(line for line in lines if line.sku == "5978656")
    assert (list(unknown.category_path), unknown.description) == ([], "")
    assert (unknown.quantity_thousandths, unknown.amount_minor) == (0, 0)


def test_category_path_stops_at_the_first_missing_segment(year: Year) -> None:
    content = next(content for content in year.line_contents() if content.product == 9829976)
    assert content.category_path == ("MISCELLANEOUS",)
    assert content.description == "BEERALEMALT LIQUORS"


def test_day_holds_each_basket_and_line_once(first_day: PreparedDay) -> None:
    requests = list(requests_of(first_day))
    assert first_day.sales == len(requests) == len({r.request_id for r in requests}) == 298
    assert sum(len(request.sale.lines) for request in requests) == 3098
    amounts = (line.amount_minor for request in requests for line in request.sale.lines)
    assert sum(amounts) == 875990


def test_every_request_keeps_the_rules_of_the_contract(first_day: PreparedDay) -> None:
    validator = Validator()
    for request in requests_of(first_day):
        assert validator.collect_violations(request) == []


def test_household_is_in_one_batch_of_a_busy_day_in_business_time(
    first_day: PreparedDay, days: Iterator[PreparedDay]
) -> None:
    busy = next(day for day in chain([first_day], days) if len(day.batches) > 1)
    seen: dict[str, int] = {}
    for number, batch in enumerate(busy.batches):
        times: dict[str, int] = {}
        for request in point_of_sale_pb2.BatchRecordSalesRequest.FromString(batch.request).requests:
            card, seconds = request.sale.card_token, request.sale.business_time.seconds
            assert seen.setdefault(card, number) == number
            assert times.get(card, 0) <= seconds
            times[card] = seconds


def test_day_without_a_basket_is_there_to_be_closed(year: Year, encoder: SaleEncoder) -> None:
    days = list(islice(prepare(year, encoder, date(2017, 12, 24)), 3))
    assert [day.day.day for day in days] == [24, 25, 26]
    assert [day.sales > 0 for day in days] == [True, False, True]


def test_other_process_prepares_the_same_requests_and_ends_with_the_replay(
    first_day: PreparedDay,
) -> None:
    with prepared_days(FIRST_DAY) as days:
        assert next(days) == first_day
        assert len(multiprocessing.active_children()) == 1
    assert multiprocessing.active_children() == []
