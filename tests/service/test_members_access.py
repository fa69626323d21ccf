"""Who may do what: scopes, and members who see only themselves."""

from collections.abc import Awaitable, Callable

import grpc
import pytest
from loyalty.members.v1 import members_pb2 as pb

from services.plumbing.grpc_client import bearer
from tests.service.contents import contents
from tests.service.members_calls import Members, consent
from tests.service.refusals import refused
from tests.service.tokens import Metadata, Tokens

NOBODY = "members/00000000-0000-4000-8000-000000000000"
REQUEST_ID = "6f1c1a52-9f0e-4a53-8f33-0d3a3a0d7a11"

Call = Callable[[Members, str, Metadata], Awaitable[object]]

# Every method with a request that would be answered, and the scope it wants.
METHODS: dict[str, tuple[Call, str]] = {
    "EnrolMember": (
        lambda m, _, token: m.stub.EnrolMember(
            pb.EnrolMemberRequest(request_id=REQUEST_ID), metadata=token
        ),
        "members.write",
    ),
    "GetMember": (lambda m, name, token: m.get(name, token), "members.read"),
    "UpdateMember": (
        lambda m, name, token: m.update(pb.Member(name=name, given_name="A"), metadata=token),
        "members.write",
    ),
    "ListMembers": (
        lambda m, _, token: m.stub.ListMembers(pb.ListMembersRequest(), metadata=token),
        "members.read",
    ),
    "FindMember": (
        lambda m, _, token: m.stub.FindMember(
            pb.FindMemberRequest(card_token="card-1"), metadata=token
        ),
        "members.read",
    ),
    "IssueCard": (
        lambda m, name, token: m.stub.IssueCard(
            pb.IssueCardRequest(member=name, card_token="card-2"), metadata=token
        ),
        "members.write",
    ),
    "ReplaceCard": (
        lambda m, _, token: m.stub.ReplaceCard(
            pb.ReplaceCardRequest(old_card_token="card-1", new_card_token="card-2"),
            metadata=token,
        ),
        "members.write",
    ),
    "BlockCard": (
        lambda m, _, token: m.stub.BlockCard(
            pb.BlockCardRequest(card_token="card-1", reason="lost"), metadata=token
        ),
        "members.write",
    ),
    "RecordConsent": (
        lambda m, name, token: m.record_consent(name, consent(), token),
        "members.write",
    ),
    "ListConsents": (lambda m, name, token: m.list_consents(name, token), "members.read"),
    "BlockMember": (
        lambda m, name, token: m.stub.BlockMember(
            pb.BlockMemberRequest(request_id=REQUEST_ID, name=name, reason="x"), metadata=token
        ),
        "members.write",
    ),
    "UnblockMember": (
        lambda m, name, token: m.stub.UnblockMember(
            pb.UnblockMemberRequest(request_id=REQUEST_ID, name=name), metadata=token
        ),
        "members.write",
    ),
    "EraseMember": (
        lambda m, name, token: m.stub.EraseMember(
            pb.EraseMemberRequest(request_id=REQUEST_ID, name=name, reason="inactive"),
            metadata=token,
        ),
        "members.erase",
    ),
}
OWN = {
    "GetMember": "members.read.own",
    "UpdateMember": "members.write.own",
    "RecordConsent": "members.write.own",
    "ListConsents": "members.read.own",
}


def test_every_method_of_the_contract_is_here() -> None:
    service = pb.DESCRIPTOR.services_by_name["MembersService"]
    assert set(METHODS) == set(service.methods_by_name)


@pytest.mark.parametrize("method", METHODS)
async def test_method_is_open_to_its_scope_and_to_no_other(
    members: Members, tokens: Tokens, method: str
) -> None:
    call, scope = METHODS[method]
    enrolled = await members.enrol(card_token="card-1")
    before = contents(members.database_url)
    others = {"members.read", "members.write", "sales.write", "members"} - {scope}
    refusal = await refused(call(members, enrolled.name, tokens.bearer(*others)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "MISSING_SCOPE")
    assert refusal.metadata == {"scope": scope}
    assert contents(members.database_url) == before
    await call(members, enrolled.name, tokens.bearer(scope))


@pytest.mark.parametrize("method", OWN)
async def test_member_sees_and_changes_only_themselves(
    members: Members, tokens: Tokens, method: str
) -> None:
    call, _ = METHODS[method]
    enrolled = await members.enrol(card_token="card-1")
    other = await members.enrol()
    before = contents(members.database_url)
    own = tokens.bearer(OWN[method], subject=enrolled.name)
    for name in (other.name, NOBODY, enrolled.name.upper().replace("MEMBERS", "members")):
        refusal = await refused(call(members, name, own))
        assert refusal.code in {
            grpc.StatusCode.PERMISSION_DENIED,
            grpc.StatusCode.INVALID_ARGUMENT,
        }
    # Of somebody who does not exist no more is said than of anybody else.
    assert (await refused(call(members, NOBODY, own))).reason == "NOT_YOURS"
    assert contents(members.database_url) == before
    await call(members, enrolled.name, own)


@pytest.mark.parametrize("method", sorted(set(METHODS) - set(OWN)))
async def test_member_may_not_call_what_is_not_about_themselves(
    members: Members, tokens: Tokens, method: str
) -> None:
    call, _ = METHODS[method]
    enrolled = await members.enrol(card_token="card-1")
    own = tokens.bearer("members.read.own", "members.write.own", subject=enrolled.name)
    assert (await refused(call(members, enrolled.name, own))).reason == "MISSING_SCOPE"


async def test_permission_is_checked_before_existence_and_validity(
    members: Members, tokens: Tokens
) -> None:
    refusal = await refused(members.get("not a name", tokens.bearer("sales.write")))
    assert refusal.reason == "MISSING_SCOPE"


async def test_expired_token_opens_nothing(members: Members, tokens: Tokens) -> None:
    expired = bearer(tokens.mint("members.read", lifetime_seconds=-60))
    refusal = await refused(members.get(NOBODY, expired))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED")
