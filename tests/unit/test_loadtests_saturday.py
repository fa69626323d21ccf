"""How many users a Saturday has, hour by hour."""

import pytest

from loadtests.tills.saturday import CLOSES, OPENS, SHARE_BUSY, hour_at, share_busy, users_at

DAY_SECONDS = 140.0


def test_day_goes_from_opening_to_closing() -> None:
    assert hour_at(0.0, DAY_SECONDS) == OPENS == 7
    assert hour_at(DAY_SECONDS, DAY_SECONDS) == CLOSES == 21


def test_shares_are_parts_of_all_tills_and_some_hour_has_all() -> None:
    assert all(0 < share <= 1 for share in SHARE_BUSY.values())
    assert max(SHARE_BUSY.values()) == 1


@pytest.mark.parametrize("hour", SHARE_BUSY)
def test_full_hour_has_the_share_of_the_table(hour: int) -> None:
    assert share_busy(hour) == SHARE_BUSY[hour]


def test_between_hours_it_rises_evenly() -> None:
    assert share_busy(9.5) == pytest.approx((SHARE_BUSY[9] + SHARE_BUSY[10]) / 2)


def test_nobody_is_busy_while_closed() -> None:
    assert share_busy(OPENS - 0.1) == share_busy(CLOSES + 0.1) == 0


def test_busiest_hour_has_every_user() -> None:
    counts = [users_at(float(second), DAY_SECONDS, 80) for second in range(int(DAY_SECONDS))]

    assert max(count for count in counts if count is not None) == 80


def test_a_till_and_an_agent_are_always_there() -> None:
    assert users_at(0.0, DAY_SECONDS, 5) == 2


def test_day_ends() -> None:
    assert users_at(DAY_SECONDS, DAY_SECONDS, 80) is None
