"""Members who are erased while they redeem: nothing that can be used is left to nobody."""

import threading
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from loyalty.rewards.v1 import catalogue_pb2, events_pb2, redemption_pb2, vouchers_pb2

from services.plumbing.batch_session import BatchSession
from services.plumbing.database import engine, transaction
from services.rewards.clients import LedgerPoints
from services.rewards.domain.rewards import Channel
from services.rewards.domain.saga import Asked
from services.rewards.storage import beginnings
from services.rewards.usecases.redeem import Beginning, advance
from tests.service.refusals import refused
from tests.service.rewards_desk import PRICE, Desk
from tests.service.rewards_reacting import erased, heard
from tests.service.waiting import wait_until, waits_for_a_lock

ONE_PIECE = catalogue_pb2.Stock(total=1)
COMPLETED = redemption_pb2.Redemption.STATE_COMPLETED
REVOKED = vouchers_pb2.Voucher.STATE_REVOKED


@contextmanager
def erasing_after(method: str, desk: Desk, member: str) -> Iterator[None]:
    """The member is erased when the ledger has done what a call asks for."""
    call: Callable[..., Awaitable[Any]] = getattr(LedgerPoints, method)

    async def then_erased(*arguments: Any) -> Any:
        answer = await call(*arguments)
        heard(desk.database_url, erased(member))
        return answer

    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(LedgerPoints, method, then_erased)
        yield


async def test_who_is_erased_before_the_points_are_captured_redeems_nothing(desk: Desk) -> None:
    reward, member = await desk.offer(ONE_PIECE), await desk.member()
    request = desk.request(member, reward)
    with erasing_after("hold", desk, member):
        assert (await refused(desk.send(request))).reason == "MEMBER_ERASED"
    assert await desk.balance(member) == (PRICE, 0)
    assert (await desk.stock_taken(reward)).total == 0
    assert (await desk.history(member)).redemptions[0].refuse_reason == "MEMBER_ERASED"
    assert desk.announced(events_pb2.RewardRedeemed, member) == []
    assert (await refused(desk.send(request))).reason == "MEMBER_ERASED"


async def test_who_is_erased_after_the_points_are_captured_gets_a_voucher_worth_nothing(
    desk: Desk,
) -> None:
    reward, member = await desk.offer(ONE_PIECE), await desk.member()
    request = desk.request(member, reward)
    with erasing_after("capture", desk, member):
        answer = await desk.send(request)
    assert answer.redemption.state == COMPLETED
    assert answer.voucher.state == REVOKED
    found = await desk.voucher(answer.voucher.name)
    assert (found.state, found.revoke_reason) == (REVOKED, "member erased")
    [told] = desk.announced(events_pb2.VoucherRevoked, member)
    assert told.voucher == answer.voucher.name
    assert (await refused(desk.use(answer.voucher))).reason == "VOUCHER_REVOKED"
    # What was paid stays paid, as with the vouchers they had.
    assert await desk.balance(member) == (0, 0)
    assert (await desk.send(request)).voucher.state == REVOKED


async def test_an_erasure_waits_for_the_step_that_a_redemption_is_at(desk: Desk) -> None:
    """So that it finds the voucher, or the step finds that the member is erased."""
    reward, member = await desk.offer(), await desk.member()
    number = uuid.UUID(member.removeprefix("members/"))
    reward_id = reward.name.removeprefix("rewards/")
    asked = Asked(number, reward_id, PRICE, Channel.APP, "")
    database = engine(desk.database_url, pool_size=1)
    session = BatchSession(database.url)
    advance(session, [Beginning(uuid.uuid4(), uuid.uuid4(), asked)], now=datetime.now(UTC))
    session.close()
    hearing = threading.Thread(target=heard, args=(desk.database_url, erased(member)))
    with transaction(database) as connection:
        connection.exec_driver_sql(
            "SELECT FROM redemptions WHERE member_id = %s::uuid FOR UPDATE", (str(number),)
        )
        hearing.start()
        wait_until(lambda: waits_for_a_lock(desk.database_url))
    hearing.join()
    with transaction(database) as connection:
        now = datetime.now(UTC)
        found = beginnings.look(connection, [number], [reward_id], now=now, since=now)
        assert set(found.barred) == {number}
    database.dispose()
