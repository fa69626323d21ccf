"""Members who are blocked or erased, and points that are shared: what becomes of their rewards."""

import uuid
from datetime import UTC, datetime

from loyalty.rewards.v1 import catalogue_pb2, events_pb2, redemption_pb2, vouchers_pb2

from services.plumbing.batch_session import BatchSession
from services.plumbing.database import engine
from services.plumbing.errors import Refused
from services.rewards.domain.rewards import Channel
from services.rewards.domain.saga import Asked
from services.rewards.usecases.redeem import Beginning, Captured, Command, Given, Held, advance
from tests.service.refusals import refused
from tests.service.rewards_desk import PRICE, Desk
from tests.service.rewards_reacting import blocked, erased, heard, unblocked

ONE_PIECE = catalogue_pb2.Stock(total=1)
REVOKED = vouchers_pb2.Voucher.STATE_REVOKED
REDEEMED = vouchers_pb2.Voucher.STATE_REDEEMED


async def test_a_blocked_member_gets_nothing_and_nothing_is_held(desk: Desk) -> None:
    reward, member = await desk.offer(ONE_PIECE), await desk.member()
    heard(desk.database_url, blocked(member))
    refusal = await refused(desk.redeem(member, reward))
    assert (refusal.reason, refusal.metadata) == ("MEMBER_BLOCKED", {})
    assert await desk.balance(member) == (PRICE, 0)
    assert (await desk.stock_taken(reward)).total == 0
    heard(desk.database_url, unblocked(member))
    assert (await desk.redeem(member, reward)).voucher.code


async def test_what_was_said_of_a_member_last_counts_in_whatever_order(desk: Desk) -> None:
    reward, member = await desk.offer(ONE_PIECE), await desk.member()
    first, then = blocked(member), unblocked(member)
    heard(desk.database_url, then, first)
    assert (await desk.redeem(member, reward)).voucher.code


async def test_a_blocked_member_may_give_back_what_they_got(desk: Desk) -> None:
    reward, member = await desk.offer(), await desk.member()
    bought = await desk.redeem(member, reward)
    heard(desk.database_url, blocked(member))
    await desk.cancel(bought.redemption)
    assert await desk.balance(member) == (PRICE, 0)


async def test_the_vouchers_of_who_is_erased_are_worth_nothing_and_words_are_gone(
    desk: Desk,
) -> None:
    reward, member = await desk.offer(), await desk.member(points=3 * PRICE)
    kept, used, undone = [await desk.redeem(member, reward) for _ in range(3)]
    await desk.use(used.voucher)
    await desk.cancel(undone.redemption)
    segment = f"s-{uuid.uuid4().hex[:12]}"
    request = catalogue_pb2.SetSegmentRequest(segment=f"segments/{segment}", added_members=[member])
    await desk.marketing.SetSegment(request, metadata=desk.everything)
    heard(desk.database_url, erased(member))
    found = await desk.voucher(kept.voucher.name)
    assert (found.state, found.revoke_reason) == (REVOKED, "member erased")
    assert (await desk.voucher(used.voucher.name)).state == REDEEMED
    assert [event.voucher for event in desk.announced(events_pb2.VoucherRevoked, member)] == [
        undone.voucher.name,
        kept.voucher.name,
    ]
    assert (await desk.get(undone.redemption.name)).cancel_reason == ""
    assert (await desk.voucher(undone.voucher.name)).revoke_reason == ""
    emptied = await desk.marketing.SetSegment(
        catalogue_pb2.SetSegmentRequest(segment=f"segments/{segment}"), metadata=desk.everything
    )
    assert emptied.members == 0
    assert (await refused(desk.redeem(member, reward))).reason == "MEMBER_ERASED"
    # What was paid stays paid: the books know it.
    assert await desk.balance(member) == (PRICE, 0)


async def test_points_held_and_burned_by_several_wallets_are_named_as_the_ledger_does(
    desk: Desk,
) -> None:
    reward, member = await desk.offer(ONE_PIECE), await desk.member()
    hold, burn = f"sharedHolds/{uuid.uuid4()}", f"sharedBurns/{uuid.uuid4()}"
    asked = Asked(
        uuid.UUID(member.removeprefix("members/")),
        reward.name.removeprefix("rewards/"),
        PRICE,
        Channel.APP,
        "",
    )
    database = engine(desk.database_url, pool_size=1)
    session = BatchSession(database.url)

    def step(command: Command) -> Given:
        [answer] = advance(session, [command], now=datetime.now(UTC))
        assert not isinstance(answer, Refused)
        return answer

    try:
        begun = step(Beginning(uuid.uuid4(), uuid.uuid4(), asked)).redemption
        held = step(Held(begun, hold)).redemption
        assert held.hold == hold
        step(Captured(held, burn))
    finally:
        session.close()
        database.dispose()
    [found] = (await desk.history(member)).redemptions
    assert (found.state, found.burn) == (redemption_pb2.Redemption.STATE_COMPLETED, burn)
    [told] = desk.announced(events_pb2.RewardRedeemed, member)
    assert told.burn == burn
