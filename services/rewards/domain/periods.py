"""Periods of the calendar in which limits count."""

from datetime import date, timedelta

from services.rewards.domain.rewards import Period


def first_day(period: Period, day: date) -> date:
    """The first day of the period that a day lies in; the first of all days for ever."""
    match period:
        case Period.DAY:
            return day
        case Period.WEEK:
            return day - timedelta(days=day.weekday())
        case Period.MONTH:
            return day.replace(day=1)
        case Period.YEAR:
            return day.replace(month=1, day=1)
        case Period.EVER:
            return date.min
