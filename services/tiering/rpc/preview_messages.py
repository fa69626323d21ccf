"""Previews as messages."""

from decimal import Decimal

from loyalty.tiering.v1 import rules_pb2

from services.plumbing.timestamps import timestamp
from services.tiering.domain.columns import Int64s
from services.tiering.domain.costs import YEAR_DAYS, per_year, worth_minor
from services.tiering.domain.rules import RuleSet
from services.tiering.events import day_text, member_name
from services.tiering.rpc.messages import numbers
from services.tiering.rpc.names import preview_name, rule_set_name
from services.tiering.storage.previews import Mover
from services.tiering.usecases.preview import Result

SHARE_DIGITS = Decimal("0.000001")


def preview(result: Result) -> rules_pb2.Preview:
    asked = result.preview
    message = rules_pb2.Preview(
        name=preview_name(asked.id),
        state=(
            rules_pb2.Preview.STATE_FINISHED
            if result.finished
            else rules_pb2.Preview.STATE_UNFINISHED
        ),
        rule_set=rule_set_name(asked.group, asked.version),
        compared_rule_set=(
            rule_set_name(asked.group, asked.compared_version) if asked.compared_version else ""
        ),
        effective_day=day_text(asked.effective_day),
        replay_from_day=day_text(asked.replay_from_day),
        members_done=result.members_done,
        members=asked.members,
        point_value_minor=f"{asked.point_value_minor.normalize():f}",
        creator=asked.creator,
        create_time=timestamp(asked.create_time),
        tiers_in_force=codes(result.compared),
        tiers_draft=codes(asked.rules),
    )
    _add_total(message, result)
    return message


def _add_total(message: rules_pb2.Preview, result: Result) -> None:
    total, asked = result.total, result.preview
    if total is None:
        return
    old_codes, new_codes = codes(result.compared), codes(asked.rules)
    message.matrix.extend(
        rules_pb2.TierMove(from_tier=old, to_tier=new, members=int(total.matrix[i, j]))
        for i, old in enumerate(old_codes)
        for j, new in enumerate(new_codes)
        if total.matrix[i, j]
    )
    message.members_up = total.members_up
    message.members_down = total.members_down
    message.demoted_share = share(total.members_down, asked.members)
    value = asked.point_value_minor
    message.cost_in_force.CopyFrom(cost(total.extra_in_force, total.pace_in_force, value))
    message.cost_draft.CopyFrom(cost(total.extra_draft, total.pace_draft, value))
    first_day = asked.replay_from_day
    message.sizes_in_force.extend(sizes(total.sizes_in_force, first_day))
    message.sizes_draft.extend(sizes(total.sizes_draft, first_day))


def codes(rules: RuleSet) -> list[str]:
    return [tier.code for tier in rules.tiers]


def share(part: int, whole: int) -> str:
    """Decimal text, rounded up: what is confirmed is enough."""
    if not whole:
        return "0"
    found = (Decimal(part) / whole).quantize(SHARE_DIGITS, rounding="ROUND_CEILING")
    return f"{found.normalize():f}"


def cost(extra: Int64s, pace: int, value: Decimal) -> rules_pb2.PreviewCost:
    points = int(extra.sum())
    yearly = per_year(pace, min(len(extra), YEAR_DAYS))
    return rules_pb2.PreviewCost(
        extra_points=points,
        extra_minor=worth_minor(points, value),
        extra_points_per_year=yearly,
        extra_minor_per_year=worth_minor(yearly, value),
    )


def sizes(found: Int64s, first_day: int) -> list[rules_pb2.TierSizes]:
    return [
        rules_pb2.TierSizes(day=day_text(first_day + nth), members=members)
        for nth, members in enumerate(found.tolist())
    ]


def mover(found: Mover) -> rules_pb2.PreviewMover:
    return rules_pb2.PreviewMover(
        member=member_name(found.member_id),
        from_tier=found.old_tier,
        to_tier=found.new_tier,
        numbers=numbers(found.points, found.spend_minor, found.visits),
    )
