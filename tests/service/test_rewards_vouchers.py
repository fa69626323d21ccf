"""Vouchers at the till: each is used once, and whatever is asked again is answered again."""

import asyncio
import hashlib
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from loyalty.rewards.v1 import catalogue_pb2, events_pb2, vouchers_pb2

from services.plumbing.grpc_client import error_info
from services.plumbing.timestamps import timestamp
from services.rewards.domain.rewards import VoucherDefinition
from services.rewards.storage import vouchers
from services.rewards.storage.vouchers import Issue
from tests.service.refusals import refused
from tests.service.rewards_calls import ANOTHER, MEMBER, Rewards

ISSUED = vouchers_pb2.Voucher.STATE_ISSUED
REDEEMED = vouchers_pb2.Voucher.STATE_REDEEMED
EXPIRED = vouchers_pb2.Voucher.STATE_EXPIRED
REVOKED = vouchers_pb2.Voucher.STATE_REVOKED
UNKNOWN = f"{MEMBER}/vouchers/00000000-0000-4000-8000-000000000009"


def generated(**fields: Any) -> catalogue_pb2.VoucherDefinition:
    return catalogue_pb2.VoucherDefinition(generated=catalogue_pb2.GeneratedCode(), **fields)


def gift(**fields: Any) -> catalogue_pb2.VoucherDefinition:
    usual = {"value_minor": 1000, "currency_code": "CHF", "partial_use": True}
    return generated(**{**usual, **fields})


async def gift_voucher(rewards: Rewards, **fields: Any) -> vouchers_pb2.Voucher:
    await rewards.offer(voucher=gift(**fields))
    (voucher,) = await rewards.issued()
    return voucher


async def test_voucher_is_used_once(rewards: Rewards) -> None:
    await rewards.offer()
    (voucher,) = await rewards.issued()
    assert (voucher.state, len(voucher.code)) == (ISSUED, 23)
    answer = await rewards.use(voucher, code=voucher.code.lower().replace("-", " "))
    assert (answer.voucher.state, answer.amount_minor, answer.voucher.token) == (REDEEMED, 0, "")
    used = await rewards.voucher(voucher.name)
    refusal = await refused(rewards.use(voucher))
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "VOUCHER_REDEEMED",
    )
    assert await rewards.voucher(voucher.name) == used


async def test_thirty_two_tills_at_once_and_one_takes_it(rewards: Rewards) -> None:
    await rewards.offer()
    (voucher,) = await rewards.issued()
    answers = await asyncio.gather(
        *(rewards.use(voucher) for _ in range(32)), return_exceptions=True
    )
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 1
    assert [event.type.rpartition(".")[2] for event in rewards.events()] == [
        "RewardPublished",
        "VoucherRedeemed",
    ]


async def test_gift_voucher_is_never_spent_beyond_its_value(rewards: Rewards) -> None:
    voucher = await gift_voucher(rewards)
    answers = await asyncio.gather(
        *(rewards.use(voucher, amount_minor=150) for _ in range(16)), return_exceptions=True
    )
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 6
    left = await rewards.voucher(voucher.name)
    assert (left.state, left.balance_minor) == (ISSUED, 100)
    refusal = await refused(rewards.use(voucher, amount_minor=150))
    assert (refusal.reason, refusal.metadata) == (
        "AMOUNT_EXCEEDS_BALANCE",
        {"balance_minor": "100"},
    )
    spent = await rewards.use(voucher, amount_minor=100, currency_code="CHF")
    assert (spent.voucher.state, spent.voucher.balance_minor) == (REDEEMED, 0)


async def test_same_request_is_answered_the_same_and_takes_nothing_more(rewards: Rewards) -> None:
    voucher = await gift_voucher(rewards)
    request = rewards.use_request(voucher, amount_minor=300)
    answers = await asyncio.gather(
        *(rewards.vouchers.RedeemVoucher(request, metadata=rewards.everything) for _ in range(8))
    )
    assert all(answer == answers[0] for answer in answers)
    await rewards.use(voucher, amount_minor=700)
    late = await rewards.vouchers.RedeemVoucher(request, metadata=rewards.everything)
    assert late == answers[0]
    assert late.voucher.balance_minor == 700
    request.amount_minor = 301
    reused = await refused(rewards.vouchers.RedeemVoucher(request, metadata=rewards.everything))
    assert reused.reason == "REQUEST_ID_REUSED"
    assert (await rewards.voucher(voucher.name)).balance_minor == 0


async def test_one_request_uses_one_of_two_vouchers_at_once(rewards: Rewards) -> None:
    await rewards.offer()
    held = await rewards.issued(count=2)
    request_id = str(uuid.uuid4())
    answers = await asyncio.gather(
        *(rewards.use(voucher, request_id=request_id) for voucher in held),
        return_exceptions=True,
    )
    refusals = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    reasons = [info.reason for refusal in refusals if (info := error_info(refusal)) is not None]
    assert reasons == ["REQUEST_ID_REUSED"]
    states = [(await rewards.voucher(voucher.name)).state for voucher in held]
    assert sorted(states) == [ISSUED, REDEEMED]


async def test_what_does_not_fit_is_refused_and_changes_nothing(rewards: Rewards) -> None:
    voucher = await gift_voucher(rewards)
    for fields, reason in (
        ({}, "AMOUNT_NEEDED"),
        ({"amount_minor": 1001}, "AMOUNT_EXCEEDS_BALANCE"),
        ({"amount_minor": 5, "currency_code": "EUR"}, "CURRENCY_DIFFERS"),
    ):
        assert (await refused(rewards.use(voucher, **fields))).reason == reason
    assert await rewards.voucher(voucher.name) == voucher
    assert len(rewards.events()) == 1


async def test_mistyped_code_is_told_from_an_unknown_one(rewards: Rewards) -> None:
    await rewards.offer()
    (voucher,) = await rewards.issued()
    wrong = ("3" if voucher.code[0] != "3" else "4") + voucher.code[1:]
    mistyped = await refused(rewards.use(voucher, code=wrong))
    assert (mistyped.code, mistyped.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "CODE_MISTYPED",
    )
    unknown = await refused(rewards.use(voucher, code="WELCOME10"))
    assert (unknown.code, unknown.reason) == (grpc.StatusCode.NOT_FOUND, "VOUCHER_NOT_FOUND")
    for refusal in (mistyped, unknown):
        assert voucher.code not in refusal.message + str(refusal.metadata)


async def test_expired_voucher_is_judged_by_the_tills_time(rewards: Rewards) -> None:
    expires = datetime.now(UTC) + timedelta(hours=1)
    await rewards.offer(voucher=generated(fixed_expire_time=timestamp(expires)))
    early, late = await rewards.issued(count=2)
    assert early.expire_time.ToDatetime(tzinfo=UTC) == expires
    refusal = await refused(rewards.use(late, business_time=timestamp(expires)))
    assert refusal.reason == "VOUCHER_EXPIRED"
    before = timestamp(expires - timedelta(microseconds=1))
    assert (await rewards.use(early, business_time=before)).voucher.state == REDEEMED


async def test_voucher_that_has_expired_is_shown_as_such(rewards: Rewards) -> None:
    await rewards.offer(voucher=generated(life_days=1))
    (voucher,) = await rewards.issued()
    with rewards.connection() as connection:
        connection.exec_driver_sql("UPDATE vouchers SET expire_time = now()")
    shown = await rewards.voucher(voucher.name)
    assert (shown.state, shown.token) == (EXPIRED, "")
    listed = vouchers_pb2.ListVouchersRequest(parent=MEMBER, usable_only=True)
    answer = await rewards.vouchers.ListVouchers(listed, metadata=rewards.everything)
    assert list(answer.vouchers) == []


async def test_voucher_is_for_the_stores_of_its_reward(rewards: Rewards) -> None:
    await rewards.offer(stores=["31"])
    (voucher,) = await rewards.issued()
    refusal = await refused(rewards.use(voucher, store="32"))
    assert (refusal.reason, refusal.metadata) == ("VOUCHER_NOT_FOR_STORE", {"store": "32"})
    assert (await rewards.use(voucher, store="31")).voucher.state == REDEEMED


async def test_what_was_bought_stays_what_it_was(rewards: Rewards) -> None:
    await rewards.offer(voucher=gift())
    (voucher,) = await rewards.issued()
    await rewards.update(stores=["99"], voucher=gift(value_minor=500))
    await rewards.publish()
    await rewards.end()
    assert (await rewards.use(voucher, amount_minor=1000)).voucher.state == REDEEMED


async def test_terminal_uses_vouchers_in_its_own_store_alone(rewards: Rewards) -> None:
    await rewards.offer()
    (voucher,) = await rewards.issued()
    till = rewards.tokens.bearer("vouchers.redeem", subject="terminals/31/4", stores=["31"])
    foreign = rewards.use_request(voucher, store="32")
    refusal = await refused(rewards.vouchers.RedeemVoucher(foreign, metadata=till))
    assert refusal.reason == "FOREIGN_STORE"
    own = rewards.use_request(voucher, store="31")
    answer = await rewards.vouchers.RedeemVoucher(own, metadata=till)
    assert answer.voucher.state == REDEEMED


async def test_revoked_voucher_is_worthless_for_good(rewards: Rewards) -> None:
    voucher = await gift_voucher(rewards)
    await rewards.use(voucher, amount_minor=400)
    revoked = await rewards.revoke(voucher)
    assert (revoked.state, revoked.balance_minor) == (REVOKED, 600)
    assert revoked.revoke_reason == "reported stolen"
    assert await rewards.revoke(voucher) == revoked
    assert (await refused(rewards.use(voucher, amount_minor=1))).reason == "VOUCHER_REVOKED"
    assert [event.type.rpartition(".")[2] for event in rewards.events()] == [
        "RewardPublished",
        "VoucherRedeemed",
        "VoucherRevoked",
    ]


async def test_used_voucher_cannot_be_revoked(rewards: Rewards) -> None:
    await rewards.offer()
    (voucher,) = await rewards.issued()
    used = (await rewards.use(voucher)).voucher
    assert (await refused(rewards.revoke(voucher))).reason == "VOUCHER_REDEEMED"
    assert await rewards.voucher(voucher.name) == used


async def test_use_is_announced_without_the_code(rewards: Rewards) -> None:
    voucher = await gift_voucher(rewards)
    await rewards.use(voucher, amount_minor=400, receipt_number="R-7")
    event = rewards.events()[-1]
    assert event.subject == MEMBER
    told = events_pb2.VoucherRedeemed.FromString(event.data)
    told.ClearField("business_time")
    assert told == events_pb2.VoucherRedeemed(
        member=MEMBER,
        voucher=voucher.name,
        reward="rewards/coffee",
        version=1,
        amount_minor=400,
        balance_minor=600,
        currency_code="CHF",
        store="31",
        terminal="4",
        receipt_number="R-7",
    )
    assert voucher.code.encode() not in event.data


async def test_member_lists_their_vouchers_newest_first(rewards: Rewards) -> None:
    await rewards.offer()
    held = await rewards.issued(count=5)
    await rewards.issued(ANOTHER)
    await rewards.use(held[1])
    own = rewards.tokens.bearer("vouchers.read.own", subject=MEMBER)
    found: list[str] = []
    request = vouchers_pb2.ListVouchersRequest(parent=MEMBER, page_size=2)
    while True:
        page = await rewards.vouchers.ListVouchers(request, metadata=own)
        found += [voucher.name for voucher in page.vouchers]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert found == [voucher.name for voucher in reversed(held)]
    usable = vouchers_pb2.ListVouchersRequest(parent=MEMBER, usable_only=True)
    answer = await rewards.vouchers.ListVouchers(usable, metadata=own)
    assert [voucher.name for voucher in answer.vouchers] == [
        voucher.name for voucher in reversed(held) if voucher != held[1]
    ]


async def test_nobody_sees_the_voucher_of_another_member(rewards: Rewards) -> None:
    await rewards.offer()
    (voucher,) = await rewards.issued(ANOTHER)
    own = rewards.tokens.bearer("vouchers.read.own", subject=MEMBER)
    request = vouchers_pb2.GetVoucherRequest(name=voucher.name)
    refusal = await refused(rewards.vouchers.GetVoucher(request, metadata=own))
    assert refusal.reason == "NOT_YOURS"
    listing = vouchers_pb2.ListVouchersRequest(parent=ANOTHER)
    refusal = await refused(rewards.vouchers.ListVouchers(listing, metadata=own))
    assert refusal.reason == "NOT_YOURS"
    mine = voucher.name.replace(ANOTHER, MEMBER)
    assert (await refused(rewards.voucher(mine))).reason == "VOUCHER_NOT_FOUND"
    assert (await refused(rewards.voucher(UNKNOWN))).reason == "VOUCHER_NOT_FOUND"


async def test_till_without_a_network_believes_what_we_signed(rewards: Rewards) -> None:
    voucher = await gift_voucher(rewards, life_days=30)
    asked = vouchers_pb2.GetSigningKeysRequest()
    till = rewards.tokens.bearer("vouchers.redeem", subject="terminals/31/4", stores=["31"])
    keys = (await rewards.vouchers.GetSigningKeys(asked, metadata=till)).keys
    header = jwt.get_unverified_header(voucher.token)
    (key,) = [known for known in keys if known.key_id == header["kid"]]
    public = Ed25519PublicKey.from_public_bytes(key.public_key)
    claims = jwt.decode(voucher.token, public, algorithms=[key.algorithm])
    code = voucher.code.replace("-", "")
    assert claims["code_sha256"] == hashlib.sha256(code.encode()).hexdigest()
    assert claims["jti"] == voucher.name.rpartition("/")[2]
    assert claims["exp"] == voucher.expire_time.seconds
    assert (claims["reward"], claims["value_minor"]) == ("rewards/coffee", 1000)
    assert voucher.code not in str(claims)


async def test_issuing_twice_for_a_redemption_gives_one_voucher(rewards: Rewards) -> None:
    await rewards.offer()
    member_id = uuid.UUID(MEMBER.removeprefix("members/"))
    wanted = Issue(uuid.uuid4(), member_id, "coffee", 1, VoucherDefinition())
    now = datetime.now(UTC)
    with rewards.connection() as connection:
        first = vouchers.issue(connection, [wanted], now)
        assert vouchers.issue(connection, [wanted], now) == first
    listed = vouchers_pb2.ListVouchersRequest(parent=MEMBER)
    answer = await rewards.vouchers.ListVouchers(listed, metadata=rewards.everything)
    assert len(answer.vouchers) == 1
