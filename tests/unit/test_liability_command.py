"""What `loyalty liability` asks for, and the rows it writes."""

import csv
from datetime import date
from pathlib import Path

import pytest
from loyalty.ledger.v1 import earn_policy_pb2, liability_pb2

from services.cli.liability import COLUMNS, NoSuchMonth, as_of, request_for, write_csv

TODAY = date(2024, 3, 17)


@pytest.mark.parametrize(
    ("month", "day"),
    [
        ("", TODAY),
        ("2024-03", TODAY),
        ("2024-02", date(2024, 2, 29)),
        ("2023-12", date(2023, 12, 31)),
    ],
)
def test_a_month_is_asked_for_by_its_last_day_that_has_begun(month: str, day: date) -> None:
    assert as_of(month, TODAY) == day


@pytest.mark.parametrize("month", ["2024-04", "2024-13", "2024-3", "2024-03-01", "March"])
def test_what_is_no_month_that_has_begun_is_refused(month: str) -> None:
    with pytest.raises(NoSuchMonth):
        as_of(month, TODAY)


def test_the_expiry_that_is_asked_for_counts_months() -> None:
    request = request_for("2024-02", TODAY, "0.5", 12)
    assert request == liability_pb2.GetLiabilityRequest(
        as_of_day="2024-02-29",
        point_value_minor="0.5",
        what_if=liability_pb2.WhatIf(
            expiry=earn_policy_pb2.PointLife.EXPIRY_MONTHS, expiry_count=12
        ),
    )
    assert not request_for("2024-02", TODAY, "1", None).HasField("what_if")


def test_every_figure_has_a_row_of_its_own(tmp_path: Path) -> None:
    found = liability_pb2.Liability(
        as_of_day="2024-02-29",
        point_value_minor="2",
        movement=liability_pb2.Movement(opening_points=5, burned_points=-1, closing_points=4),
        books_points=4,
        ties=True,
        cohorts=[
            liability_pb2.PointCohort(
                earn_month="2024-01",
                age_months=1,
                points=4,
                value_minor=8,
                expected_redeemed_points=3,
                expected_breakage_points=1,
            )
        ],
        contract_liability=liability_pb2.ContractLiability(closing_minor=6, recognised_minor=2),
        what_if=liability_pb2.WhatIfOutcome(difference_minor=-4),
    )
    file = tmp_path / "liability.csv"
    write_csv(found, file)
    with file.open(newline="") as source:
        header, *rows = csv.reader(source)
    assert tuple(header) == COLUMNS
    assert ["movement", "burned", "", "-1", ""] in rows
    assert ["outstanding", "2024-01", "1", "4", "8"] in rows
    assert ["expected_breakage", "2024-01", "1", "1", ""] in rows
    assert ["contract_liability", "recognised", "", "", "-2"] in rows
    assert ["contract_liability", "closing", "", "", "6"] in rows
    assert ["what_if", "difference", "", "", "-4"] in rows
    assert [path.name for path in tmp_path.iterdir()] == ["liability.csv"]
