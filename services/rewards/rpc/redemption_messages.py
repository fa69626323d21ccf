"""Redemptions between the contract and the domain."""

from datetime import UTC

from loyalty.rewards.v1 import redemption_pb2

from services.plumbing.timestamps import timestamp
from services.rewards.domain.recommending import Cause, Recommendation
from services.rewards.domain.remembering import recall
from services.rewards.domain.rewards import Channel
from services.rewards.domain.saga import Asked, Redemption, Step
from services.rewards.events import redemption_name, reward_name, voucher_of
from services.rewards.rpc.definitions import write_channel
from services.rewards.rpc.names import read_member, read_reward
from services.rewards.rpc.offers import offered_reward

STATES = {
    Step.HOLDING: redemption_pb2.Redemption.STATE_PENDING,
    Step.CAPTURING: redemption_pb2.Redemption.STATE_PENDING,
    Step.RELEASING: redemption_pb2.Redemption.STATE_PENDING,
    Step.COMPLETED: redemption_pb2.Redemption.STATE_COMPLETED,
    Step.REFUSED: redemption_pb2.Redemption.STATE_REFUSED,
    Step.CANCELLING: redemption_pb2.Redemption.STATE_CANCELLED,
    Step.CANCELLED: redemption_pb2.Redemption.STATE_CANCELLED,
}
CHANNELS = {write_channel(channel): channel for channel in Channel}
CAUSES = {
    Cause.AFFORDABLE: redemption_pb2.Recommendation.CAUSE_AFFORDABLE,
    Cause.NEARLY_AFFORDABLE: redemption_pb2.Recommendation.CAUSE_NEARLY_AFFORDABLE,
    Cause.POPULAR: redemption_pb2.Recommendation.CAUSE_POPULAR,
}


def read_asked(request: redemption_pb2.RedeemRewardRequest) -> Asked:
    return Asked(
        member_id=read_member(request.member),
        reward_id=read_reward(request.reward),
        expected_points=request.expected_points,
        channel=CHANNELS[request.channel],
        store=request.store,
        business_time=(
            request.business_time.ToDatetime(tzinfo=UTC)
            if request.HasField("business_time")
            else None
        ),
    )


def redemption_message(found: Redemption) -> redemption_pb2.Redemption:
    bought = found.bought
    message = redemption_pb2.Redemption(
        name=redemption_name(found.member_id, found.id),
        state=STATES[found.step],
        reward=reward_name(bought.reward_id),
        version=bought.version,
        points=bought.points,
        money_minor=bought.money_minor,
        currency_code=bought.currency_code,
        channel=write_channel(found.channel),
        store=found.store,
        create_time=timestamp(found.create_time),
        refuse_reason=recall(found.refusal).reason if found.refusal else "",
        cancel_reason=found.cancel_reason,
        voucher=voucher_of(found),
        burn=found.burn,
    )
    if found.complete_time is not None:
        message.complete_time.CopyFrom(timestamp(found.complete_time))
    if found.cancel_time is not None:
        message.cancel_time.CopyFrom(timestamp(found.cancel_time))
    return message


def recommendation_message(
    found: Recommendation, *, language: str
) -> redemption_pb2.Recommendation:
    return redemption_pb2.Recommendation(
        reward=offered_reward(found.shown, language=language),
        cause=CAUSES[found.cause],
        missing_points=found.missing_points,
    )
