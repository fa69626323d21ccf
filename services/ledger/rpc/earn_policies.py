"""What marketing calls to change how sales earn."""

import asyncio
from collections.abc import Iterable

from loyalty.ledger.v1 import earn_policy_pb2 as contract
from loyalty.ledger.v1 import earn_policy_pb2_grpc
from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from services.ledger.committing import now_micros
from services.ledger.domain.point_life import (
    NO_LIMITS,
    BurnOrder,
    Expiry,
    PointLife,
    Shortfall,
)
from services.ledger.domain.policy import (
    Clawback,
    Combination,
    Counting,
    DiscountBasis,
    LineCondition,
    PointKind,
    Policy,
    Rounding,
    RoundingMoment,
    Rule,
    SaleCondition,
    Settings,
    TaxBasis,
    TillRedemption,
    policy_json,
)
from services.ledger.domain.transfer_rules import TransferRules
from services.ledger.rpc import messages, names
from services.ledger.usecases.policies import Policies
from services.plumbing.auth import current_caller
from services.plumbing.grpc_calls import Context
from services.plumbing.pages import page_size, page_token, read_page_token


class EarnPolicies(earn_policy_pb2_grpc.EarnPolicyServiceServicer):
    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    async def PublishEarnPolicy(
        self,
        request: contract.PublishEarnPolicyRequest,
        context: Context,  # noqa: ARG002
    ) -> contract.PublishEarnPolicyResponse:
        draft = read_policy(request.policy)
        policy = await asyncio.to_thread(
            self._policies.publish,
            draft,
            request_id=request.request_id.lower(),
            body_hash=names.body_hash("policy", policy_json(draft)),
            publisher=current_caller().subject,
            now=now_micros(),
        )
        return contract.PublishEarnPolicyResponse(policy=write_policy(policy))

    async def GetEarnPolicy(
        self,
        request: contract.GetEarnPolicyRequest,
        context: Context,  # noqa: ARG002
    ) -> contract.GetEarnPolicyResponse:
        version = int(request.name.split("/")[1])
        policy = await asyncio.to_thread(self._policies.get, version)
        return contract.GetEarnPolicyResponse(policy=write_policy(policy))

    async def ListEarnPolicies(
        self,
        request: contract.ListEarnPoliciesRequest,
        context: Context,  # noqa: ARG002
    ) -> contract.ListEarnPoliciesResponse:
        size = page_size(request.page_size, default=20, most=100)
        keys = read_page_token(request.page_token, int)
        newest_first = reversed(await asyncio.to_thread(self._policies.all))
        found = [p for p in newest_first if keys is None or p.version < int(keys[0])]
        page, more = found[:size], len(found) > size
        return contract.ListEarnPoliciesResponse(
            policies=[write_policy(policy) for policy in page],
            next_page_token=page_token(page[-1].version) if more else "",
        )


def read_policy(message: contract.EarnPolicy) -> Policy:
    return Policy(
        version=0,
        effective_time=messages.micros(message.effective_time),
        currency=message.currency_code,
        rules=tuple(read_rule(rule) for rule in message.rules),
        exclusions=tuple(read_line_condition(condition) for condition in message.exclusions),
        eligible_minor_min=message.eligible_minor_min,
        points_per_sale_max=message.points_per_sale_max,
        settings=read_settings(message.settings),
        life=read_life(message.life),
        redemption=read_redemption(message) if message.HasField("redemption") else None,
        transfers=read_transfers(message.transfers) if message.HasField("transfers") else None,
        description=message.description,
    )


def read_settings(message: contract.EarnSettings) -> Settings:
    """The first choice of each list stands for "unspecified"."""
    return Settings(
        counting=Counting(message.counting or 1),
        rounding=Rounding(message.rounding or 1),
        rounding_moment=RoundingMoment(message.rounding_moment or 1),
        combination=Combination(message.combination or 1),
        tax_basis=TaxBasis(message.tax_basis or 1),
        discount_basis=DiscountBasis(message.discount_basis or 1),
        clawback=Clawback(message.clawback or 1),
        shipping_earns=message.shipping_earns,
        services_earn=message.services_earn,
    )


def read_life(message: contract.PointLife) -> PointLife:
    return PointLife(
        pending_days=message.pending_days,
        expiry=Expiry(message.expiry or 1),
        expiry_count=message.expiry_count,
        last_day_counts=message.last_day_counts,
        burn_order=BurnOrder(message.burn_order or 1),
        shortfall=Shortfall(message.shortfall or 1),
        refund_grace_days=message.refund_grace_days or NO_LIMITS.refund_grace_days,
    )


def read_redemption(message: contract.EarnPolicy) -> TillRedemption:
    redemption = message.redemption
    return TillRedemption(
        redemption.points,
        redemption.amount_minor,
        redemption.whole_basket_earns,
        redemption.partial_return_keeps_points,
    )


def write_redemption(redemption: TillRedemption | None) -> contract.TillRedemption | None:
    if redemption is None:
        return None
    return contract.TillRedemption(
        points=redemption.points,
        amount_minor=redemption.amount,
        whole_basket_earns=redemption.whole_basket_earns,
        partial_return_keeps_points=redemption.partial_return_keeps_points,
    )


def read_transfers(message: contract.TransferRules) -> TransferRules:
    usual = TransferRules()
    return TransferRules(
        message.points_min or usual.points_min,
        message.points_max,
        message.points_sent_max,
        message.points_received_max,
        message.transfers_per_day_max or usual.transfers_per_day_max,
    )


def write_transfers(rules: TransferRules | None) -> contract.TransferRules | None:
    if rules is None:
        return None
    return contract.TransferRules(
        points_min=rules.points_min,
        points_max=rules.points_max,
        points_sent_max=rules.points_sent_max,
        points_received_max=rules.points_received_max,
        transfers_per_day_max=rules.transfers_per_day_max,
    )


def write_life(life: PointLife) -> contract.PointLife:
    return contract.PointLife(
        pending_days=life.pending_days,
        expiry=contract.PointLife.Expiry.ValueType(life.expiry.value),
        expiry_count=life.expiry_count,
        last_day_counts=life.last_day_counts,
        burn_order=contract.PointLife.BurnOrder.ValueType(life.burn_order.value),
        shortfall=contract.PointLife.Shortfall.ValueType(life.shortfall.value),
        refund_grace_days=life.refund_grace_days,
    )


def read_rule(message: contract.EarnRule) -> Rule:
    return Rule(
        rule=message.rule,
        title=message.title,
        kinds=tuple(sorted(PointKind(kind) for kind in message.kinds)),
        points=message.per_amount.points,
        per_minor=message.per_amount.per_minor,
        multiplier=message.multiplier,
        fixed_points=message.fixed_points,
        tier_multiplied=message.tier_multiplied,
        lines=read_line_condition(message.lines),
        sale=SaleCondition(
            stores=frozenset(message.sale.stores),
            days_of_week=frozenset(message.sale.days_of_week),
            hour_from=message.sale.hour_from,
            hour_until=message.sale.hour_until,
            time_zone=message.sale.time_zone or "UTC",
        ),
        eligible_minor_min=message.eligible_minor_min,
        points_per_sale_max=message.points_per_sale_max,
        priority=message.priority,
        stops_others=message.stops_others,
    )


def read_line_condition(message: contract.LineCondition) -> LineCondition:
    return LineCondition(
        categories=tuple(tuple(pattern.segments) for pattern in message.categories),
        skus=frozenset(message.skus),
        tags=frozenset(message.tags),
    )


def write_policy(policy: Policy) -> contract.EarnPolicy:
    settings = policy.settings
    return contract.EarnPolicy(
        name=f"earnPolicies/{policy.version}",
        version=policy.version,
        effective_time=messages.timestamp(policy.effective_time),
        publisher=policy.publisher,
        publish_time=messages.timestamp(policy.publish_time),
        description=policy.description,
        currency_code=policy.currency,
        rules=[write_rule(rule) for rule in policy.rules],
        exclusions=[write_line_condition(condition) for condition in policy.exclusions],
        eligible_minor_min=policy.eligible_minor_min,
        points_per_sale_max=policy.points_per_sale_max,
        settings=contract.EarnSettings(
            counting=contract.EarnSettings.Counting.ValueType(settings.counting.value),
            rounding=contract.EarnSettings.Rounding.ValueType(settings.rounding.value),
            rounding_moment=contract.EarnSettings.RoundingMoment.ValueType(
                settings.rounding_moment.value
            ),
            combination=contract.EarnSettings.Combination.ValueType(settings.combination.value),
            tax_basis=contract.EarnSettings.TaxBasis.ValueType(settings.tax_basis.value),
            discount_basis=contract.EarnSettings.DiscountBasis.ValueType(
                settings.discount_basis.value
            ),
            clawback=contract.EarnSettings.Clawback.ValueType(settings.clawback.value),
            shipping_earns=settings.shipping_earns,
            services_earn=settings.services_earn,
        ),
        life=write_life(policy.life),
        redemption=write_redemption(policy.redemption),
        transfers=write_transfers(policy.transfers),
    )


def write_rule(rule: Rule) -> contract.EarnRule:
    message = contract.EarnRule(
        rule=rule.rule,
        title=rule.title,
        lines=write_line_condition(rule.lines),
        sale=contract.SaleCondition(
            stores=sorted(rule.sale.stores),
            days_of_week=sorted(rule.sale.days_of_week),
            hour_from=rule.sale.hour_from,
            hour_until=rule.sale.hour_until,
            time_zone=rule.sale.time_zone,
        ),
        eligible_minor_min=rule.eligible_minor_min,
        points_per_sale_max=rule.points_per_sale_max,
        priority=rule.priority,
        stops_others=rule.stops_others,
        tier_multiplied=rule.tier_multiplied,
        kinds=[pos.PointKind.ValueType(kind.value) for kind in rule.kinds],
    )
    if rule.per_minor:
        message.per_amount.points = rule.points
        message.per_amount.per_minor = rule.per_minor
    elif rule.multiplier:
        message.multiplier = rule.multiplier
    else:
        message.fixed_points = rule.fixed_points
    return message


def write_line_condition(condition: LineCondition) -> contract.LineCondition:
    return contract.LineCondition(
        categories=category_patterns(condition.categories),
        skus=sorted(condition.skus),
        tags=sorted(condition.tags),
    )


def category_patterns(
    patterns: Iterable[tuple[str, ...]],
) -> list[contract.CategoryPattern]:
    return [contract.CategoryPattern(segments=segments) for segments in patterns]
