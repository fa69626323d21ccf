"""Calls to MembersService as its usual callers make them."""

import uuid
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.members.v1 import members_pb2
from loyalty.members.v1.members_pb2_grpc import MembersServiceStub

from services.plumbing import outbox
from services.plumbing.database import engine, transaction
from services.plumbing.timestamps import timestamp
from tests.service.servers import Running
from tests.service.tokens import Metadata, Tokens

EVENTS_MAX = 10_000
EVERYTHING = (
    "members.read",
    "members.write",
    "members.merge",
    "members.erase",
    "households.read",
    "households.write",
)


def moment(text: str) -> Timestamp:
    return timestamp(datetime.fromisoformat(text).astimezone(UTC))


def consent(**fields: Any) -> members_pb2.Consent:
    """A yes to marketing by e-mail, but for the fields given."""
    usual = {
        "purpose": "marketing",
        "channel": "email",
        "granted": True,
        "time": moment("2026-01-01T00:00:00Z"),
        "method": "checkbox",
        "source": "app",
    }
    return members_pb2.Consent(**{**usual, **fields})


def active(*tokens: str) -> list[tuple[str, str]]:
    return [(token, "STATE_ACTIVE") for token in tokens]


def cards(member: members_pb2.Member) -> list[tuple[str, str]]:
    return [(each.card_token, members_pb2.Card.State.Name(each.state)) for each in member.cards]


class Members:
    """A caller who may do everything, unless other metadata is given."""

    def __init__(self, running: Running, tokens: Tokens, database_url: str) -> None:
        self.channel = running.channel
        self.stub = MembersServiceStub(running.channel)
        self.database_url = database_url
        self.everything = tokens.bearer(*EVERYTHING)

    async def enrol(self, **fields: Any) -> members_pb2.Member:
        request = members_pb2.EnrolMemberRequest(**{"request_id": str(uuid.uuid4()), **fields})
        return (await self.stub.EnrolMember(request, metadata=self.everything)).member

    async def get(self, name: str, metadata: Metadata | None = None) -> members_pb2.Member:
        request = members_pb2.GetMemberRequest(name=name)
        return (await self.stub.GetMember(request, metadata=metadata or self.everything)).member

    async def find(self, **identity: str) -> members_pb2.Member:
        request = members_pb2.FindMemberRequest(**identity)
        return (await self.stub.FindMember(request, metadata=self.everything)).member

    async def update(
        self,
        member: members_pb2.Member,
        *paths: str,
        region_code: str = "",
        metadata: Metadata | None = None,
    ) -> members_pb2.Member:
        request = members_pb2.UpdateMemberRequest(member=member, region_code=region_code)
        request.update_mask.paths.extend(paths)
        answer = await self.stub.UpdateMember(request, metadata=metadata or self.everything)
        return answer.member

    async def issue_card(self, name: str, token: str) -> members_pb2.Member:
        request = members_pb2.IssueCardRequest(member=name, card_token=token)
        return (await self.stub.IssueCard(request, metadata=self.everything)).member

    async def replace_card(self, old: str, new: str) -> members_pb2.Member:
        request = members_pb2.ReplaceCardRequest(old_card_token=old, new_card_token=new)
        return (await self.stub.ReplaceCard(request, metadata=self.everything)).member

    async def block_card(self, token: str, reason: str = "lost") -> members_pb2.Member:
        request = members_pb2.BlockCardRequest(card_token=token, reason=reason)
        return (await self.stub.BlockCard(request, metadata=self.everything)).member

    async def record_consent(
        self, name: str, said: members_pb2.Consent, metadata: Metadata | None = None
    ) -> members_pb2.Consent:
        request = members_pb2.RecordConsentRequest(member=name, consent=said)
        answer = await self.stub.RecordConsent(request, metadata=metadata or self.everything)
        return answer.consent

    async def list_consents(
        self, name: str, metadata: Metadata | None = None, **page: Any
    ) -> members_pb2.ListConsentsResponse:
        request = members_pb2.ListConsentsRequest(member=name, **page)
        return await self.stub.ListConsents(request, metadata=metadata or self.everything)

    async def list_members(self, **page: Any) -> members_pb2.ListMembersResponse:
        request = members_pb2.ListMembersRequest(**page)
        return await self.stub.ListMembers(request, metadata=self.everything)

    def announced(self) -> list[outbox.Event]:
        """All that stands in the outbox, in the order a consumer reads it."""
        reading = engine(self.database_url, pool_size=1)
        try:
            with transaction(reading) as connection:
                stored = outbox.read(connection, "public", outbox.START, limit=EVENTS_MAX)
        finally:
            reading.dispose()
        return [each.event for each in stored]

    def announced_types(self) -> list[str]:
        return [event.type.rpartition(".")[2] for event in self.announced()]
