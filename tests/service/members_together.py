"""Calls about members who are more than one: merges, households, and who is blocked or erased."""

import uuid
from typing import Any

from google.protobuf.message_factory import GetMessageClass
from loyalty.members.v1 import events_pb2, households_pb2, members_pb2, merges_pb2
from loyalty.members.v1.households_pb2_grpc import HouseholdServiceStub
from loyalty.members.v1.merges_pb2_grpc import MergeServiceStub

from tests.service.members_calls import Members
from tests.service.tokens import Metadata, Tokens

SERVICES = (
    members_pb2.DESCRIPTOR.services_by_name["MembersService"],
    merges_pb2.DESCRIPTOR.services_by_name["MergeService"],
    households_pb2.DESCRIPTOR.services_by_name["HouseholdService"],
)
METHODS = {method.name: method for service in SERVICES for method in service.methods}


def own(tokens: Tokens, member: str) -> Metadata:
    """What a member's app calls with."""
    scopes = ("households.read.own", "households.write.own", "members.read.own")
    return tokens.bearer(*scopes, subject=member)


class Together:
    """A caller of all methods of the members service, who may do everything unless told."""

    def __init__(self, members: Members) -> None:
        self.members = members
        self._stubs = (
            members.stub,
            MergeServiceStub(members.channel),
            HouseholdServiceStub(members.channel),
        )

    async def ask(self, method: str, metadata: Metadata | None = None, /, **fields: Any) -> Any:
        """The answer of a method; a request_id left out is made."""
        described = METHODS[method].input_type
        if "request_id" in described.fields_by_name:
            fields.setdefault("request_id", str(uuid.uuid4()))
        request = GetMessageClass(described)(**fields)
        stub = next(stub for stub in self._stubs if hasattr(stub, method))
        return await getattr(stub, method)(request, metadata=metadata or self.members.everything)

    async def block(self, name: str) -> members_pb2.Member:
        answer = await self.ask("BlockMember", name=name, reason="cards under suspicion")
        blocked: members_pb2.Member = answer.member
        return blocked

    async def erase(self, name: str) -> members_pb2.Member:
        answer = await self.ask("EraseMember", name=name, reason="own_request")
        erased: members_pb2.Member = answer.member
        return erased

    async def merge(self, source: str, target: str) -> merges_pb2.Merge:
        """Merge a source into a target."""
        answer = await self.ask(
            "MergeMembers", source=source, target=target, reason="enrolled twice"
        )
        merge: merges_pb2.Merge = answer.merge
        return merge

    async def undo(self, merge: str) -> merges_pb2.Merge:
        undone: merges_pb2.Merge = (await self.ask("UndoMerge", name=merge)).merge
        return undone

    async def household(self, owner: str, *others: str) -> households_pb2.Household:
        """A household that others have joined, each by an invitation."""
        created = await self.ask("CreateHousehold", owner=owner)
        household: households_pb2.Household = created.household
        for member in others:
            household = await self.join(household.name, member)
        return household

    async def invite(self, household: str, member: str = "") -> households_pb2.Invitation:
        answer = await self.ask("CreateInvitation", household=household, member=member)
        invitation: households_pb2.Invitation = answer.invitation
        return invitation

    async def join(self, household: str, member: str) -> households_pb2.Household:
        invitation = await self.invite(household, member)
        answer = await self.ask("AcceptInvitation", member=member, invitation=invitation.name)
        joined: households_pb2.Household = answer.household
        return joined

    async def read(self, household: str) -> households_pb2.Household:
        found: households_pb2.Household = (await self.ask("GetHousehold", name=household)).household
        return found

    def households_announced(self) -> list[events_pb2.HouseholdChanged]:
        return [
            events_pb2.HouseholdChanged.FromString(event.data)
            for event in self.members.announced()
            if event.type == "loyalty.members.v1.HouseholdChanged"
        ]


def who(household: households_pb2.Household) -> list[str]:
    """The names of a household's members, in the order they joined."""
    return [each.member for each in household.members]
