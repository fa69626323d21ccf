"""What members are offered, as messages."""

from loyalty.rewards.v1 import catalogue_pb2

from services.plumbing.timestamps import timestamp
from services.rewards.domain import offering
from services.rewards.domain.offering import Shown
from services.rewards.events import reward_name
from services.rewards.rpc.definitions import write_channel, write_kind, write_texts


def offered_reward(shown: Shown, *, language: str) -> catalogue_pb2.OfferedReward:
    """In the language that is wanted, or the reward's own."""
    definition = shown.offer.definition
    spoken = offering.language(definition, language)
    message = catalogue_pb2.OfferedReward(
        reward=reward_name(shown.offer.reward_id),
        version=shown.offer.version,
        kind=write_kind(definition.kind),
        language=spoken,
        texts=write_texts(definition.texts[spoken]),
        picture_urls=definition.picture_urls,
        points=shown.points,
        money_minor=definition.money_minor,
        currency_code=definition.currency_code,
        channels=map(write_channel, definition.channels),
        stores=definition.stores,
        stock_left=shown.stock_left,
        member_left=shown.member_left,
    )
    if definition.end_time is not None:
        message.end_time.CopyFrom(timestamp(definition.end_time))
    if definition.voucher is not None:
        message.voucher_value_minor = definition.voucher.value_minor
        message.voucher_currency_code = definition.voucher.currency_code
    return message
