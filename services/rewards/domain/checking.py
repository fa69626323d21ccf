"""What is wrong with the description of a reward, beyond what its contract says."""

from collections.abc import Iterator
from datetime import datetime

from services.plumbing.errors import FieldViolation
from services.rewards.domain.refusals import RewardInvalid
from services.rewards.domain.rewards import Definition, Kind, VoucherDefinition


def refuse_problems(definition: Definition) -> None:
    """Refuses: RewardInvalid, naming every field that is wrong."""
    _refuse(list(_problems(definition)))


def refuse_gone_by(definition: Definition, now: datetime) -> None:
    """Refuses: RewardInvalid, where nobody could ever have it or use it any more."""
    problems = []
    if definition.end_time is not None and definition.end_time <= now:
        problems.append(FieldViolation("definition.end_time", "has gone by"))
    expires = definition.voucher.fixed_expire_time if definition.voucher is not None else None
    if expires is not None and expires <= now:
        problems.append(FieldViolation("definition.voucher.fixed_expire_time", "has gone by"))
    _refuse(problems)


def _refuse(problems: list[FieldViolation]) -> None:
    if problems:
        first = problems[0]
        raise RewardInvalid(f"{first.field} {first.description}", violations=problems)


def _problems(definition: Definition) -> Iterator[FieldViolation]:
    if definition.default_language not in definition.texts:
        yield FieldViolation("definition.default_language", "must be one of the texts' languages")
    yield from _check_prices(definition)
    yield from _check_times(definition)
    periods = [limit.period for limit in definition.member_limits]
    if len(set(periods)) < len(periods):
        yield FieldViolation("definition.member_limits", "must have one limit a period")
    if definition.voucher is not None:
        yield from _check_voucher(definition.voucher)


def _check_prices(definition: Definition) -> Iterator[FieldViolation]:
    for position, priced in enumerate(definition.prices):
        if not priced.tiers and not priced.segments:
            yield FieldViolation(
                f"definition.prices[{position}]", "must name a tier or a segment it is for"
            )
    if (definition.money_minor > 0) != (definition.kind is Kind.POINTS_PLUS_CASH):
        yield FieldViolation(
            "definition.money_minor", "must be given for points plus cash, and for nothing else"
        )
    if (definition.money_minor > 0) != bool(definition.currency_code):
        yield FieldViolation("definition.currency_code", "must be given with money_minor alone")


def _check_times(definition: Definition) -> Iterator[FieldViolation]:
    start, end = definition.start_time, definition.end_time
    if start is not None and end is not None and end <= start:
        yield FieldViolation("definition.end_time", "must be after start_time")
    early = definition.early_access
    if len({access.tier for access in early}) < len(early):
        yield FieldViolation("definition.early_access", "must name a tier once")
    for position, access in enumerate(early):
        if start is None or access.start_time >= start:
            yield FieldViolation(
                f"definition.early_access[{position}].start_time",
                "must be before the reward's start_time",
            )


def _check_voucher(voucher: VoucherDefinition) -> Iterator[FieldViolation]:
    if (voucher.value_minor > 0) != bool(voucher.currency_code):
        yield FieldViolation(
            "definition.voucher.currency_code", "must be given with value_minor alone"
        )
    if voucher.partial_use and not voucher.value_minor:
        yield FieldViolation("definition.voucher.partial_use", "needs a value_minor")
