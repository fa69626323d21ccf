"""A member's year told line by line, for tests that state what a programme promises."""

from collections.abc import Sequence
from datetime import date, timedelta

from services.tiering.domain.columns import NEVER, Cause
from services.tiering.domain.engine import replay
from services.tiering.domain.rules import RuleSet
from tests.unit.tiering_members import (
    Grant,
    Person,
    Row,
    assignments,
    change_rows,
    day,
    enrolled,
    member_days,
)


def shown(number: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=number)).isoformat()


def story(
    rule_set: RuleSet,
    rows: dict[str, Row],
    *,
    end: str,
    begin: str = "2024-01-01",
    enrol: str = "2024-01-01",
    grants: Sequence[Grant] = (),
) -> list[str]:
    """Such as "2024-03-02 base>silver reached, to 2025-03-01": the last day it is kept."""
    person = Person(day(enrol), {day(on): row for on, row in rows.items()}, grants)
    found = replay(
        rule_set,
        enrolled([person]),
        member_days([person]),
        assignments([person]),
        from_day=day(begin),
        to_day=day(end),
    )
    codes = [tier.code for tier in rule_set.tiers]
    return [
        f"{shown(on)} {codes[old]}>{codes[new]} {Cause(cause).name.lower()}"
        + (f", to {shown(until - 1)}" if until != NEVER else "")
        for on, _, old, new, cause, until, *_ in change_rows(found.changes)
    ]
