"""Tiering dies and stays away: tills go on with the tier they last heard of; nothing is lost."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.ledger.v1 import point_of_sale_pb2 as pos
from loyalty.ledger.v1 import point_of_sale_pb2_grpc
from loyalty.members.v1 import members_pb2, members_pb2_grpc
from loyalty.tiering.v1 import rules_pb2, rules_pb2_grpc, tiering_pb2, tiering_pb2_grpc

from tests.faults.programme import Programme
from tests.service.tiering_calls import classic

GROUP = "tierGroups/away"
CARD = "card-of-a-gold-member"
SALES = 20
CALL_SECONDS_MAX = 30
TOLD_SECONDS_MAX = 60.0
POLL_SECONDS = 0.05


def sale(number: int) -> pos.Sale:
    """A sale of ten dollars, a moment ago."""
    moment = Timestamp(seconds=int(datetime.now(UTC).timestamp()) - 60)
    line = pos.Line(sku="1", quantity_thousandths=1000, amount_minor=1000)
    return pos.Sale(
        card_token=CARD,
        store="31",
        terminal="1",
        receipt_number=f"away-{number}",
        business_time=moment,
        currency_code="USD",
        lines=[line],
    )


def extra(points: list[pos.PointsByRule]) -> int:
    """What the tier added."""
    return sum(each.points for each in points if each.rule == "tier")


async def enrol(programme: Programme) -> str:
    """A member with the card."""
    request = members_pb2.EnrolMemberRequest(request_id=str(uuid.uuid4()), card_token=CARD)
    token = programme.bearer("members.write")
    address = programme.platform.grpc_address("members")
    async with grpc.aio.insecure_channel(address) as channel:
        stub = members_pb2_grpc.MembersServiceStub(channel)
        answer = await stub.EnrolMember(request, metadata=token, timeout=CALL_SECONDS_MAX)
    return answer.member.name


async def make_gold(programme: Programme, member: str) -> None:
    """Publish rules under which gold earns a quarter more, and give the member gold."""
    token = programme.bearer("rules.write", "rules.publish", "tiers.write")
    address = programme.platform.grpc_address("tiering")
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    async with grpc.aio.insecure_channel(address) as channel:
        rule_sets = rules_pb2_grpc.RuleSetServiceStub(channel)
        created = await rule_sets.CreateDraft(
            rules_pb2.CreateDraftRequest(
                request_id=str(uuid.uuid4()), group=GROUP, rules=classic()
            ),
            metadata=token,
            timeout=CALL_SECONDS_MAX,
        )
        await rule_sets.PublishRuleSet(
            rules_pb2.PublishRuleSetRequest(
                name=created.rule_set.name,
                etag=created.rule_set.etag,
                effective_day=yesterday,
                reason="The programme starts.",
            ),
            metadata=token,
            timeout=CALL_SECONDS_MAX,
        )
        await tiering_pb2_grpc.TierServiceStub(channel).AssignTier(
            tiering_pb2.AssignTierRequest(
                request_id=str(uuid.uuid4()),
                member=member,
                group=GROUP,
                tier="gold",
                reason="a good customer elsewhere",
            ),
            metadata=token,
            timeout=CALL_SECONDS_MAX,
        )


async def counted(programme: Programme) -> int:
    """How many of today's documents tiering has counted."""
    today = datetime.now(UTC).date().isoformat()
    address = programme.platform.grpc_address("tiering")
    async with grpc.aio.insecure_channel(address) as channel:
        answer = await tiering_pb2_grpc.TierServiceStub(channel).GetDay(
            tiering_pb2.GetDayRequest(day=today),
            metadata=programme.bearer("days.read"),
            timeout=CALL_SECONDS_MAX,
        )
    return answer.day.documents


def posted(programme: Programme) -> int:
    """How many documents of today the ledger has."""
    return programme.count(
        "SELECT count(*) FROM (SELECT * FROM ledger_00.journal UNION ALL"
        " SELECT * FROM ledger_01.journal) j"
        " WHERE refusal IS NULL AND business_time >= date_trunc('day', now())"
    )


async def becomes(asked: Callable[[], Awaitable[int]], expected: int) -> None:
    """Wait until what is asked for is as expected; fail when it is not in time."""
    deadline = time.monotonic() + TOLD_SECONDS_MAX
    while (answer := await asked()) != expected:
        assert time.monotonic() < deadline, f"it is {answer}, not {expected}"
        await asyncio.sleep(POLL_SECONDS)


async def test_tills_go_on_with_the_last_tier_they_heard_of(programme: Programme) -> None:
    member = await enrol(programme)
    await make_gold(programme, member)
    token = programme.bearer("sales.write")
    async with grpc.aio.insecure_channel(programme.ledger_address) as channel:
        tills = point_of_sale_pb2_grpc.PointOfSaleServiceStub(channel)

        async def quoted() -> int:
            request = pos.QuoteSaleRequest(sale=sale(0))
            answer = await tills.QuoteSale(request, metadata=token, timeout=CALL_SECONDS_MAX)
            return extra(list(answer.points))

        await becomes(quoted, 2)
        with programme.nothing_started_again():
            programme.end("tiering", "bus")
            for number in range(1, SALES + 1):
                request = pos.RecordSaleRequest(request_id=str(uuid.uuid4()), sale=sale(number))
                answer = await tills.RecordSale(request, metadata=token, timeout=CALL_SECONDS_MAX)
                assert extra(list(answer.points)) == 2
    programme.wait_until_healthy()
    await becomes(lambda: counted(programme), posted(programme))
