"""Descriptions of rewards that contradict themselves."""

from datetime import timedelta
from typing import Any

import pytest

from services.rewards.domain.checking import refuse_gone_by, refuse_problems
from services.rewards.domain.refusals import RewardInvalid
from services.rewards.domain.rewards import (
    EarlyAccess,
    Kind,
    MemberLimit,
    Period,
    Price,
    VoucherDefinition,
    decode_definition,
    encode,
)
from tests.unit.rewards_described import NOON, definition, gift

SECOND = timedelta(seconds=1)
CASH = {"kind": Kind.POINTS_PLUS_CASH, "money_minor": 500, "currency_code": "CHF"}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        CASH,
        {"voucher": VoucherDefinition(life_days=30)},
        {"voucher": gift()},
        {"prices": (Price(50, tiers=("gold",)),)},
        {
            "start_time": NOON,
            "end_time": NOON + SECOND,
            "early_access": (EarlyAccess("gold", NOON - SECOND),),
        },
        {"member_limits": (MemberLimit(Period.DAY, 1), MemberLimit(Period.WEEK, 2))},
    ],
)
def test_sound_description_is_accepted_and_kept_as_it_is(fields: dict[str, Any]) -> None:
    described = definition(**fields)
    refuse_problems(described)
    assert decode_definition(encode(described)) == described


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"default_language": "de"}, "default_language"),
        ({"prices": (Price(50),)}, "prices[0]"),
        ({**CASH, "kind": Kind.PRODUCT}, "money_minor"),
        ({"kind": Kind.POINTS_PLUS_CASH}, "money_minor"),
        ({**CASH, "currency_code": ""}, "currency_code"),
        ({"currency_code": "CHF"}, "currency_code"),
        ({"start_time": NOON, "end_time": NOON}, "end_time"),
        ({"early_access": (EarlyAccess("gold", NOON),)}, "early_access[0].start_time"),
        (
            {
                "start_time": NOON,
                "early_access": (
                    EarlyAccess("gold", NOON - SECOND),
                    EarlyAccess("gold", NOON - 2 * SECOND),
                ),
            },
            "early_access",
        ),
        ({"member_limits": (MemberLimit(Period.DAY, 1),) * 2}, "member_limits"),
        ({"voucher": gift(currency_code="")}, "voucher.currency_code"),
        ({"voucher": VoucherDefinition(partial_use=True)}, "voucher.partial_use"),
    ],
)
def test_contradiction_is_refused_by_its_field(fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(RewardInvalid) as refused:
        refuse_problems(definition(**fields))
    assert [problem.field for problem in refused.value.violations] == [f"definition.{wrong}"]


def test_every_problem_is_named() -> None:
    described = definition(default_language="de", voucher=VoucherDefinition(partial_use=True))
    with pytest.raises(RewardInvalid) as refused:
        refuse_problems(described)
    assert [problem.field for problem in refused.value.violations] == [
        "definition.default_language",
        "definition.voucher.partial_use",
    ]


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"end_time": NOON}, "definition.end_time"),
        (
            {"voucher": VoucherDefinition(fixed_expire_time=NOON)},
            "definition.voucher.fixed_expire_time",
        ),
    ],
)
def test_what_has_gone_by_is_not_published(fields: dict[str, Any], wrong: str) -> None:
    refuse_gone_by(definition(**fields), NOON - SECOND)
    with pytest.raises(RewardInvalid) as refused:
        refuse_gone_by(definition(**fields), NOON)
    assert [problem.field for problem in refused.value.violations] == [wrong]
