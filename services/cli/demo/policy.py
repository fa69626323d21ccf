"""The demo's earn policy: two versions, the second from the middle of the year."""

from datetime import UTC, date, datetime

from loyalty.ledger.v1 import earn_policy_pb2, point_of_sale_pb2

from services.cli.demo.requests import CURRENCY_CODE, request_id

PRODUCE_RULE = "produce-extra"
DOLLAR_MINOR = 100
EXPIRE_AFTER_MONTHS = 9
EXCLUDED = (
    ("FUEL",),
    ("COUPON",),
    ("MISCELLANEOUS",),
    ("*", "CIGARETTES"),
    ("*", "CIGARS"),
    ("*", "TOBACCO OTHER"),
)


def publications() -> list[earn_policy_pb2.PublishEarnPolicyRequest]:
    """What to publish, in order; sending them again is answered with the first answer."""
    return [
        _publication(date(2017, 1, 1), 0, "The programme starts."),
        _publication(date(2017, 7, 1), 500, "A basket earns from five dollars on."),
    ]


def _publication(
    effective: date, eligible_minor_min: int, description: str
) -> earn_policy_pb2.PublishEarnPolicyRequest:
    policy = earn_policy_pb2.EarnPolicy(
        description=description,
        currency_code=CURRENCY_CODE,
        rules=[_base_rule(), _produce_rule()],
        exclusions=[_category(*segments) for segments in EXCLUDED],
        eligible_minor_min=eligible_minor_min,
        life=earn_policy_pb2.PointLife(
            expiry=earn_policy_pb2.PointLife.EXPIRY_MONTHS, expiry_count=EXPIRE_AFTER_MONTHS
        ),
        settings=earn_policy_pb2.EarnSettings(
            counting=earn_policy_pb2.EarnSettings.COUNTING_PER_RULE,
            rounding=earn_policy_pb2.EarnSettings.ROUNDING_FLOOR,
        ),
    )
    policy.effective_time.FromDatetime(datetime.combine(effective, datetime.min.time(), UTC))
    return earn_policy_pb2.PublishEarnPolicyRequest(
        request_id=request_id("policy", effective), policy=policy
    )


def _base_rule() -> earn_policy_pb2.EarnRule:
    return earn_policy_pb2.EarnRule(
        rule="base",
        title="1 point per dollar",
        per_amount=earn_policy_pb2.PointsPerAmount(points=1, per_minor=DOLLAR_MINOR),
        kinds=[
            point_of_sale_pb2.POINT_KIND_REDEEMABLE,
            point_of_sale_pb2.POINT_KIND_QUALIFYING,
        ],
        tier_multiplied=True,
    )


def _produce_rule() -> earn_policy_pb2.EarnRule:
    return earn_policy_pb2.EarnRule(
        rule=PRODUCE_RULE,
        title="1 extra point per dollar of produce",
        per_amount=earn_policy_pb2.PointsPerAmount(points=1, per_minor=DOLLAR_MINOR),
        lines=_category("PRODUCE"),
        kinds=[point_of_sale_pb2.POINT_KIND_REDEEMABLE],
    )


def _category(*segments: str) -> earn_policy_pb2.LineCondition:
    return earn_policy_pb2.LineCondition(
        categories=[earn_policy_pb2.CategoryPattern(segments=segments)]
    )
