"""Calls to tiering as its usual callers make them, and events as other services announce them."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

from google.protobuf.message import Message
from loyalty.ledger.v1 import events_pb2 as ledger_events
from loyalty.ledger.v1 import ledger_pb2, point_of_sale_pb2
from loyalty.members.v1 import events_pb2 as members_events
from loyalty.tiering.v1 import events_pb2, rules_pb2, tiering_pb2
from loyalty.tiering.v1.rules_pb2_grpc import RuleSetServiceStub
from loyalty.tiering.v1.tiering_pb2_grpc import TierServiceStub
from plumbing.v1 import envelope_pb2
from sqlalchemy import Engine

from services.plumbing import outbox
from services.plumbing.database import engine, transaction
from services.plumbing.grpc_client import aio_channel
from services.tiering.reactions import TieringReactions
from tests.service.servers import Running
from tests.service.tokens import Tokens

EVENTS_MAX = 10_000
GROUP = "tierGroups/status"
MICROS_PER_SECOND = 1_000_000
SALE = ledger_pb2.ENTRY_TYPE_EARN
RETURN = ledger_pb2.ENTRY_TYPE_RETURN
ADJUSTMENT = ledger_pb2.ENTRY_TYPE_ADJUSTMENT
_documents = count(1)


def member(number: int) -> str:
    return f"members/00000000-0000-4000-8000-{number:012d}"


def points(threshold: int) -> rules_pb2.Bar:
    return rules_pb2.Bar(attain=rules_pb2.Requirement(points=threshold))


def classic(**fields: Any) -> rules_pb2.Rules:
    """Silver from 500 points in twelve months, gold from 1,500, platinum from 4,000."""
    tiers = [
        rules_pb2.Tier(code="base", name="Base"),
        rules_pb2.Tier(
            code="silver",
            name="Silver",
            bar=points(500),
            benefits=rules_pb2.Benefits(earn_multiplier="1.1"),
        ),
        rules_pb2.Tier(
            code="gold",
            name="Gold",
            bar=points(1500),
            benefits=rules_pb2.Benefits(earn_multiplier="1.25"),
        ),
        rules_pb2.Tier(
            code="platinum",
            name="Platinum",
            bar=points(4000),
            benefits=rules_pb2.Benefits(earn_multiplier="1.5"),
        ),
    ]
    usual = {
        "name": "classic",
        "tiers": tiers,
        "window": rules_pb2.Window(rolling_months=rules_pb2.RollingMonths(months=12)),
        "keeping": rules_pb2.Keeping(months=rules_pb2.KeptMonths(months=12)),
    }
    return rules_pb2.Rules(**{**usual, **fields})


def with_thresholds(**thresholds: int) -> rules_pb2.Rules:
    """The classic rules with other thresholds."""
    rules = classic()
    for tier in rules.tiers:
        if tier.code in thresholds:
            tier.bar.attain.points = thresholds[tier.code]
    return rules


@dataclass(frozen=True, slots=True)
class Posted:
    """What the ledger tells of a sale, a return or an adjustment."""

    wallet: int
    day: str
    points: int = 0
    amount_minor: int = 0
    visits: int = 1
    base: int = 0
    base_before: int = 0
    type: int = SALE
    original_day: str = ""
    document: int = field(default_factory=lambda: next(_documents))

    def message(self) -> ledger_events.PostedDocument:
        posted = ledger_events.PostedDocument(
            wallet=self.wallet,
            document=self.document,
            type=ledger_pb2.EntryType.ValueType(self.type),
            business_time_micros=micros(self.day),
            original_business_time_micros=micros(self.original_day) if self.original_day else 0,
            amount_minor=self.amount_minor,
            visits=self.visits,
            tier_base_points=self.base,
            tier_base_points_before=self.base_before,
            currency_code="USD",
            store="31",
        )
        for kind in (
            point_of_sale_pb2.POINT_KIND_REDEEMABLE,
            point_of_sale_pb2.POINT_KIND_QUALIFYING,
        ):
            if self.points:
                posted.entries.add(ordinal=kind, kind=kind, points=self.points, rule="base")
        return posted


def micros(day: str) -> int:
    noon = datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC).replace(hour=12)
    return int(noon.timestamp()) * MICROS_PER_SECOND


def envelope(source: str, message: Message, event_id: str = "") -> bytes:
    wrapped = envelope_pb2.Envelope(
        id=event_id or uuid.uuid4().hex,
        source=source,
        type=message.DESCRIPTOR.full_name,
        subject="any",
        data=message.SerializeToString(),
    )
    wrapped.time.FromDatetime(datetime(2017, 1, 1, tzinfo=UTC))
    return wrapped.SerializeToString()


def days(first: str, last: str) -> list[str]:
    begin, end = date.fromisoformat(first), date.fromisoformat(last)
    return [
        (begin + timedelta(days=number)).isoformat() for number in range((end - begin).days + 1)
    ]


def _reactions(database: Engine) -> Any:
    """As a worker has them, with what nameko would give them."""

    class Given(TieringReactions):
        pass

    setattr(Given, "database", database)  # noqa: B010 -- what is declared is nameko's provider
    return Given()


class Tiering:
    """A caller who may do everything, and the bus's end of the service."""

    def __init__(self, running: Running, tokens: Tokens, database_url: str) -> None:
        # A preview starts a process, on a machine that may be busy.
        self.channel = aio_channel(running.address, seconds_max=120)
        self.rules = RuleSetServiceStub(self.channel)
        self.tiers = TierServiceStub(self.channel)
        self.address = running.address
        self.database_url = database_url
        self.database = engine(database_url, pool_size=4)
        self.everything = tokens.bearer(
            *("rules.read", "rules.write", "rules.publish", "tiers.read", "tiers.write"),
            *("days.read", "days.write"),
        )
        self.reactions = _reactions(self.database)

    async def close(self) -> None:
        await self.channel.close()
        self.database.dispose()

    def post(self, *documents: Posted, event_id: str = "") -> None:
        """Let tiering hear of documents, all in one event."""
        event = ledger_events.EntriesPosted(documents=[posted.message() for posted in documents])
        self.reactions.entries_posted(envelope("ledger", event, event_id))

    def attach(self, wallet: int, name: str) -> None:
        event = ledger_events.WalletAttached(wallet=wallet, member=name)
        self.reactions.wallet_attached(envelope("ledger", event))

    def enrol(self, name: str, day: str = "2017-01-01") -> None:
        event = members_events.MemberEnrolled(member=name)
        event.enrol_time.FromMicroseconds(micros(day))
        self.reactions.member_enrolled(envelope("members", event))

    def join(self, *numbers: int) -> None:
        """Members enrolled on the first of January 2017, each with the wallet of its number."""
        for number in numbers:
            self.enrol(member(number))
            self.attach(number, member(number))

    async def draft(self, rules: rules_pb2.Rules | None = None, **fields: Any) -> rules_pb2.RuleSet:
        request = rules_pb2.CreateDraftRequest(
            **{
                "request_id": str(uuid.uuid4()),
                "group": GROUP,
                "rules": rules if rules is not None else classic(),
                **fields,
            }
        )
        return (await self.rules.CreateDraft(request, metadata=self.everything)).rule_set

    async def publish(
        self, draft: rules_pb2.RuleSet, effective_day: str = "2017-01-01", **fields: Any
    ) -> rules_pb2.RuleSet:
        request = rules_pb2.PublishRuleSetRequest(
            **{
                "name": draft.name,
                "etag": draft.etag,
                "effective_day": effective_day,
                "reason": "agreed by the board",
                **fields,
            }
        )
        answer = await self.rules.PublishRuleSet(request, metadata=self.everything)
        return answer.rule_set

    def preview_call(self, draft: rules_pb2.RuleSet | None = None, **fields: Any) -> Any:
        """The stream of a preview of a draft, or of one to be resumed."""
        start = rules_pb2.PreviewStart(rule_set=draft.name, **fields) if draft else None
        request = rules_pb2.PreviewRulesRequest(**({"preview": start} if draft else fields))
        return self.rules.PreviewRules(request, metadata=self.everything, timeout=120)

    async def preview(self, draft: rules_pb2.RuleSet, **fields: Any) -> rules_pb2.Preview:
        """The answer of a preview that comes to its end."""
        answers = [answer async for answer in self.preview_call(draft, **fields)]
        assert all(answer.HasField("progress") for answer in answers[:-1])
        found: rules_pb2.Preview = answers[-1].preview
        return found

    async def movers(
        self, name: str, direction: int = 0, page_size: int = 0
    ) -> list[tuple[str, str, str]]:
        """Who would move from where to where, page after page."""
        found, token = [], ""
        while True:
            request = rules_pb2.ListPreviewMoversRequest(
                parent=name,
                direction=rules_pb2.ListPreviewMoversRequest.Direction.ValueType(direction),
                page_size=page_size,
                page_token=token,
            )
            page = await self.rules.ListPreviewMovers(request, metadata=self.everything)
            found += [(each.member, each.from_tier, each.to_tier) for each in page.movers]
            token = page.next_page_token
            if not token:
                return found

    async def in_force(self, rules: rules_pb2.Rules | None = None) -> rules_pb2.RuleSet:
        """Rules in force from the first of January 2017 on."""
        return await self.publish(await self.draft(rules))

    async def close_day(self, day: str) -> tiering_pb2.BusinessDay:
        request = tiering_pb2.CloseDayRequest(day=day)
        return (await self.tiers.CloseDay(request, metadata=self.everything)).day

    async def day(self, day: str) -> tiering_pb2.BusinessDay:
        request = tiering_pb2.GetDayRequest(day=day)
        return (await self.tiers.GetDay(request, metadata=self.everything)).day

    async def tier(self, name: str) -> tiering_pb2.MemberTier:
        request = tiering_pb2.GetMemberTierRequest(name=f"{name}/tiers/status")
        answer = await self.tiers.GetMemberTier(request, metadata=self.everything)
        return answer.member_tier

    async def assign(self, name: str, tier: str, **fields: Any) -> tiering_pb2.Assignment:
        request = tiering_pb2.AssignTierRequest(
            **{
                "request_id": str(uuid.uuid4()),
                "member": name,
                "group": GROUP,
                "tier": tier,
                "reason": "a good customer elsewhere",
                **fields,
            }
        )
        return (await self.tiers.AssignTier(request, metadata=self.everything)).assignment

    async def revoke(self, assignment: tiering_pb2.Assignment) -> tiering_pb2.Assignment:
        request = tiering_pb2.RevokeAssignmentRequest(name=assignment.name, reason="by mistake")
        return (await self.tiers.RevokeAssignment(request, metadata=self.everything)).assignment

    def announced(self, kind: type[Message]) -> list[Any]:
        """The events of a kind, in the order they were announced."""
        with transaction(self.database) as connection:
            stored = outbox.read(connection, "public", 0, limit=EVENTS_MAX)
        return [
            kind.FromString(each.event.data)
            for each in stored
            if each.event.type == kind.DESCRIPTOR.full_name
        ]

    def changes(self) -> list[tuple[str, str, str, str]]:
        """Member, old tier, new tier and the day from which it counts, as others heard of them."""
        return [
            (change.member, change.old_tier, change.new_tier, day_of(event.effective_time_micros))
            for event in self.announced(events_pb2.MemberTierChanged)
            for change in event.changes
        ]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with transaction(self.database) as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query)]


def day_of(time_micros: int) -> str:
    return datetime.fromtimestamp(time_micros / MICROS_PER_SECOND, UTC).date().isoformat()


def sales(wallet: int, per_day: Iterable[tuple[str, int]]) -> list[Posted]:
    """A sale a day, of so many points and as many base points."""
    return [Posted(wallet, day, earned, 100 * earned, base=earned) for day, earned in per_day]
