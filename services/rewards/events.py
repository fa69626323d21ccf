"""What rewards tells others, in the words of the contract. No code of a voucher is among them."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from uuid import UUID

from google.protobuf.message import Message
from loyalty.rewards.v1 import catalogue_pb2, events_pb2
from sqlalchemy import Connection

from services.plumbing import outbox
from services.plumbing.timestamps import timestamp
from services.rewards.domain.rewards import Kind, Version
from services.rewards.domain.saga import Redemption
from services.rewards.domain.vouchers import Use, Voucher

SCHEMA = "public"
# A redemption's names are written half a dozen times on its way; to spell an id takes microseconds.
NAMES_KEPT = 2_000


def reward_name(reward_id: str) -> str:
    return f"rewards/{reward_id}"


@lru_cache(NAMES_KEPT)
def member_name(member_id: UUID) -> str:
    return f"members/{member_id}"


def voucher_name(voucher: Voucher) -> str:
    return _voucher_name(voucher.member_id, voucher.id)


@lru_cache(NAMES_KEPT)
def _voucher_name(member_id: UUID, voucher_id: UUID) -> str:
    return f"{member_name(member_id)}/vouchers/{voucher_id}"


@lru_cache(NAMES_KEPT)
def redemption_name(member_id: UUID, redemption_id: UUID) -> str:
    return f"{member_name(member_id)}/redemptions/{redemption_id}"


def reward_published(connection: Connection, version: Version, *, now: datetime) -> None:
    message = events_pb2.RewardPublished(
        reward=reward_name(version.reward_id),
        version=version.version,
        kind=catalogue_pb2.RewardKind.Value(f"REWARD_KIND_{version.definition.kind.upper()}"),
        points=version.definition.points,
    )
    announce(connection, message, subject=message.reward, now=now)


def reward_ended(connection: Connection, reward_id: str, version: int, *, now: datetime) -> None:
    message = events_pb2.RewardEnded(reward=reward_name(reward_id), version=version)
    announce(connection, message, subject=message.reward, now=now)


def voucher_redeemed(
    connection: Connection, voucher: Voucher, use: Use, amount_minor: int, *, now: datetime
) -> None:
    """The voucher is given as the use left it."""
    message = events_pb2.VoucherRedeemed(
        member=member_name(voucher.member_id),
        voucher=voucher_name(voucher),
        reward=reward_name(voucher.reward_id),
        version=voucher.version,
        amount_minor=amount_minor,
        balance_minor=voucher.balance_minor,
        currency_code=voucher.currency_code,
        store=use.store,
        terminal=use.terminal,
        receipt_number=use.receipt_number,
        business_time=timestamp(use.business_time),
    )
    announce(connection, message, subject=message.member, now=now)


def voucher_redemption_undone(
    connection: Connection,
    voucher: Voucher,
    *,
    amount_minor: int,
    store: str,
    receipt_number: str,
    now: datetime,
) -> None:
    """The voucher is given as it is without the use."""
    message = events_pb2.VoucherRedemptionUndone(
        member=member_name(voucher.member_id),
        voucher=voucher_name(voucher),
        reward=reward_name(voucher.reward_id),
        version=voucher.version,
        amount_minor=amount_minor,
        balance_minor=voucher.balance_minor,
        currency_code=voucher.currency_code,
        store=store,
        receipt_number=receipt_number,
    )
    announce(connection, message, subject=message.member, now=now)


def voucher_revoked(connection: Connection, voucher: Voucher, *, now: datetime) -> None:
    message = events_pb2.VoucherRevoked(
        member=member_name(voucher.member_id),
        voucher=voucher_name(voucher),
        reward=reward_name(voucher.reward_id),
        version=voucher.version,
    )
    announce(connection, message, subject=message.member, now=now)


def rewards_redeemed(
    redemptions: Sequence[Redemption], kinds: Sequence[Kind], *, now: datetime
) -> list[outbox.Event]:
    """kinds are those of their rewards, in the same order."""
    messages = [
        events_pb2.RewardRedeemed(
            member=member_name(each.member_id),
            redemption=redemption_name(each.member_id, each.id),
            reward=reward_name(each.bought.reward_id),
            version=each.bought.version,
            kind=catalogue_pb2.RewardKind.Value(f"REWARD_KIND_{kind.upper()}"),
            points=each.bought.points,
            money_minor=each.bought.money_minor,
            currency_code=each.bought.currency_code,
            channel=catalogue_pb2.Channel.Value(f"CHANNEL_{each.channel.upper()}"),
            store=each.store,
            voucher=voucher_of(each),
            burn=each.burn,
        )
        for each, kind in zip(redemptions, kinds, strict=True)
    ]
    return [_event(message, message.member, now) for message in messages]


def redemption_cancelled(connection: Connection, redemption: Redemption, *, now: datetime) -> None:
    message = events_pb2.RedemptionCancelled(
        member=member_name(redemption.member_id),
        redemption=redemption_name(redemption.member_id, redemption.id),
        reward=reward_name(redemption.bought.reward_id),
        version=redemption.bought.version,
        points=redemption.bought.points,
    )
    announce(connection, message, subject=message.member, now=now)


def voucher_of(redemption: Redemption) -> str:
    """The name of what a redemption became; empty where that is no voucher."""
    if redemption.voucher_id is None:
        return ""
    return _voucher_name(redemption.member_id, redemption.voucher_id)


def announce(connection: Connection, message: Message, *, subject: str, now: datetime) -> None:
    """Tell it when the connection's transaction commits."""
    outbox.append(connection, SCHEMA, [_event(message, subject, now)])


def _event(message: Message, subject: str, now: datetime) -> outbox.Event:
    return outbox.Event(
        id=uuid.uuid4().hex,
        type=message.DESCRIPTOR.full_name,
        subject=subject,
        time=now,
        data=message.SerializeToString(),
    )
