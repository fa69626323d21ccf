"""Descriptions of rewards between the contract and the domain."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.rewards.v1 import catalogue_pb2

from services.plumbing.timestamps import read_timestamp, timestamp
from services.rewards.domain.rewards import (
    Channel,
    Definition,
    EarlyAccess,
    Kind,
    MemberLimit,
    Period,
    Price,
    StockSettings,
    Texts,
    VoucherDefinition,
)
from services.rewards.rpc.names import read_pool

KIND = "REWARD_KIND_"
CHANNEL = "CHANNEL_"
PERIOD = "PERIOD_"


def read_channel(channel: catalogue_pb2.Channel.ValueType) -> Channel | None:
    """None where none is given."""
    return _channel(channel) if channel else None


def _channel(channel: catalogue_pb2.Channel.ValueType) -> Channel:
    return Channel(catalogue_pb2.Channel.Name(channel).removeprefix(CHANNEL).lower())


def write_channel(channel: Channel) -> catalogue_pb2.Channel.ValueType:
    return catalogue_pb2.Channel.Value(CHANNEL + channel.upper())


def write_kind(kind: Kind) -> catalogue_pb2.RewardKind.ValueType:
    return catalogue_pb2.RewardKind.Value(KIND + kind.upper())


def read_definition(message: catalogue_pb2.RewardDefinition) -> Definition:
    kind = catalogue_pb2.RewardKind.Name(message.kind)
    return Definition(
        kind=Kind(kind.removeprefix(KIND).lower()),
        texts={
            language: Texts(texts.title, texts.description, texts.terms)
            for language, texts in message.texts.items()
        },
        default_language=message.default_language,
        picture_urls=tuple(message.picture_urls),
        points=message.points,
        prices=tuple(
            Price(priced.points, tuple(priced.tiers), tuple(priced.segments))
            for priced in message.prices
        ),
        money_minor=message.money_minor,
        currency_code=message.currency_code,
        start_time=_time(message.start_time, message.HasField("start_time")),
        end_time=_time(message.end_time, message.HasField("end_time")),
        early_access=tuple(
            EarlyAccess(early.tier, read_timestamp(early.start_time, field="definition"))
            for early in message.early_access
        ),
        channels=tuple(map(_channel, message.channels)),
        stores=tuple(message.stores),
        tiers=tuple(message.tiers),
        segments=tuple(message.segments),
        member_limits=tuple(
            MemberLimit(_period(limit.period), limit.most) for limit in message.member_limits
        ),
        voucher=_read_voucher(message.voucher) if message.HasField("voucher") else None,
    )


def _period(period: catalogue_pb2.MemberLimit.Period.ValueType) -> Period:
    return Period(catalogue_pb2.MemberLimit.Period.Name(period).removeprefix(PERIOD).lower())


def _time(stamp: Timestamp, given: bool) -> datetime | None:
    return read_timestamp(stamp, field="definition") if given else None


def _read_voucher(message: catalogue_pb2.VoucherDefinition) -> VoucherDefinition:
    return VoucherDefinition(
        pool=read_pool(message.pool),
        life_days=message.life_days if message.WhichOneof("life") == "life_days" else None,
        fixed_expire_time=_time(message.fixed_expire_time, message.HasField("fixed_expire_time")),
        value_minor=message.value_minor,
        currency_code=message.currency_code,
        partial_use=message.partial_use,
    )


def write_definition(definition: Definition) -> catalogue_pb2.RewardDefinition:
    return catalogue_pb2.RewardDefinition(
        kind=write_kind(definition.kind),
        texts={language: write_texts(texts) for language, texts in definition.texts.items()},
        default_language=definition.default_language,
        picture_urls=definition.picture_urls,
        points=definition.points,
        prices=[
            catalogue_pb2.RewardPrice(
                points=priced.points, tiers=priced.tiers, segments=priced.segments
            )
            for priced in definition.prices
        ],
        money_minor=definition.money_minor,
        currency_code=definition.currency_code,
        start_time=_stamp(definition.start_time),
        end_time=_stamp(definition.end_time),
        early_access=[
            catalogue_pb2.EarlyAccess(tier=early.tier, start_time=timestamp(early.start_time))
            for early in definition.early_access
        ],
        channels=[write_channel(channel) for channel in definition.channels],
        stores=definition.stores,
        tiers=definition.tiers,
        segments=definition.segments,
        member_limits=[
            catalogue_pb2.MemberLimit(
                period=catalogue_pb2.MemberLimit.Period.Value(PERIOD + limit.period.upper()),
                most=limit.most,
            )
            for limit in definition.member_limits
        ],
        voucher=_write_voucher(definition.voucher) if definition.voucher is not None else None,
    )


def write_texts(texts: Texts) -> catalogue_pb2.RewardTexts:
    return catalogue_pb2.RewardTexts(
        title=texts.title, description=texts.description, terms=texts.terms
    )


def _write_voucher(voucher: VoucherDefinition) -> catalogue_pb2.VoucherDefinition:
    message = catalogue_pb2.VoucherDefinition(
        value_minor=voucher.value_minor,
        currency_code=voucher.currency_code,
        partial_use=voucher.partial_use,
        fixed_expire_time=_stamp(voucher.fixed_expire_time),
    )
    if voucher.life_days is not None:
        message.life_days = voucher.life_days
    if voucher.pool:
        message.pool = f"codePools/{voucher.pool}"
    else:
        message.generated.SetInParent()
    return message


def _stamp(time: datetime | None) -> Timestamp | None:
    return timestamp(time) if time is not None else None


def read_stock(message: catalogue_pb2.Stock) -> StockSettings:
    return StockSettings(
        total=message.total if message.HasField("total") else None,
        per_day=message.per_day if message.HasField("per_day") else None,
        stores=dict(message.stores),
    )


def write_stock(stock: StockSettings) -> catalogue_pb2.Stock:
    return catalogue_pb2.Stock(total=stock.total, per_day=stock.per_day, stores=stock.stores)
