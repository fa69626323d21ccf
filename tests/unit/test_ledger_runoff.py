"""The life table of spent points, on a triangle small enough to work out by hand."""

import math
from datetime import date

import pytest

from services.ledger.domain.runoff import (
    HORIZON_MONTHS,
    Flow,
    Flows,
    RunOff,
    Seen,
    Span,
    history_of,
    jackknife,
    month_name,
    month_of,
    run_off,
    student_t,
)

JANUARY = month_of(date(2024, 1, 31))
# Months of earning by months of use; January to March are over.
TRIANGLE: Flows = {
    JANUARY: {
        JANUARY: Flow(earned=100, burned=10),
        JANUARY + 1: Flow(burned=18),
        JANUARY + 2: Flow(burned=36),
    },
    JANUARY + 1: {
        JANUARY + 1: Flow(earned=200, burned=30),
        JANUARY + 2: Flow(burned=34),
    },
    JANUARY + 2: {JANUARY + 2: Flow(earned=100)},
}


def test_a_month_has_a_number_and_a_name() -> None:
    assert month_of(date(2023, 12, 1)) + 1 == JANUARY
    assert [month_name(JANUARY - 1), month_name(JANUARY)] == ["2023-12", "2024-01"]


def test_points_are_exposed_until_they_are_spent() -> None:
    assert history_of(TRIANGLE, JANUARY + 3) == {
        JANUARY: [Seen(100, 10), Seen(90, 18), Seen(72, 36)],
        JANUARY + 1: [Seen(200, 30), Seen(170, 34)],
        JANUARY + 2: [Seen(100, 0)],
    }


def test_a_month_that_is_not_over_is_not_seen() -> None:
    assert history_of(TRIANGLE, JANUARY + 2) == {
        JANUARY: [Seen(100, 10), Seen(90, 18)],
        JANUARY + 1: [Seen(200, 30)],
    }


def test_what_was_taken_back_or_expired_is_exposed_no_longer() -> None:
    flows = {
        JANUARY: {
            JANUARY: Flow(earned=100),
            JANUARY + 1: Flow(earned=-40, burned=6),
            JANUARY + 2: Flow(burned=4, expired=50),
            JANUARY + 3: Flow(),
        }
    }
    history = history_of(flows, JANUARY + 4)
    assert history == {JANUARY: [Seen(100, 0), Seen(60, 6), Seen(54, 4), Seen(0, 0)]}


def test_rates_are_pooled_over_the_months_of_earning() -> None:
    rates = run_off(history_of(TRIANGLE, JANUARY + 3).values())
    # 40 of 400 burned in their first month, 52 of 260 in their second, 36 of 72 in their third.
    assert rates == RunOff([40 / 400, 52 / 260, 36 / 72], (40 + 52 + 36) / (400 + 260 + 72))


def test_what_will_be_spent_runs_off_age_by_age() -> None:
    rates = RunOff([0.1, 0.2, 0.5], 0.25)
    assert rates.spent(Span(1, 2)) == pytest.approx(1 - 0.8 * 0.5)
    assert rates.spent(Span(2, 4)) == pytest.approx(1 - 0.5 * 0.75 * 0.75)
    assert rates.spent(Span(3, 2)) == 0
    assert rates.spent(Span(0, None)) == rates.spent(Span(0, HORIZON_MONTHS - 1))


def test_ages_that_hardly_any_points_reached_run_off_as_the_tail() -> None:
    seen = [Seen(10_000, 1_000), Seen(9_000, 900), Seen(100, 100)]
    assert run_off([seen]) == RunOff([0.1, 0.1], 0.1)


@pytest.mark.parametrize("history", [[], [[Seen(100, 0), Seen(100, 0)]], [[Seen(50, -3)]]])
def test_without_anything_spent_nothing_is_estimated(history: list[list[Seen]]) -> None:
    assert run_off(history) is None


def test_more_given_back_than_spent_at_an_age_is_no_share_below_zero() -> None:
    assert run_off([[Seen(100, 20), Seen(80, -5)]]) == RunOff([0.2, 0.0], 15 / 180)


def test_the_jackknife_leaves_out_one_month_of_earning_at_a_time() -> None:
    history = {1: [Seen(100, 10)], 2: [Seen(100, 20)], 3: [Seen(100, 60)]}

    def rate(rates: RunOff | None) -> float:
        return rates.rates[0] if rates else 0.0

    found = jackknife(history, rate)
    # Without each: 0.4, 0.35, 0.15; their mean 0.3; variance 2/3 * (0.01 + 0.0025 + 0.0225).
    half = student_t(2) * math.sqrt(2 / 3 * 0.035)
    assert found.low == pytest.approx(0.3 - half)
    assert found.high == pytest.approx(0.3 + half)


@pytest.mark.parametrize(("degrees", "quantile"), [(5, 2.571), (11, 2.201), (23, 2.069)])
def test_students_quantile_is_that_of_the_tables(degrees: int, quantile: float) -> None:
    assert student_t(degrees) == pytest.approx(quantile, abs=0.01)
