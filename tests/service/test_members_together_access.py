"""Who may merge members and look after households."""

import uuid
from typing import Any

import grpc
from loyalty.members.v1 import households_pb2, merges_pb2
from plumbing.v1 import access_pb2

from tests.service.contents import contents
from tests.service.members_calls import EVERYTHING, Members
from tests.service.members_together import METHODS, Together
from tests.service.refusals import refused
from tests.service.tokens import Tokens

SCOPES = {
    "MergeMembers": "members.merge",
    "UndoMerge": "members.merge",
    "GetMerge": "members.read",
    "ListMerges": "members.read",
    "CreateHousehold": "households.write",
    "GetHousehold": "households.read",
    "CreateInvitation": "households.write",
    "AcceptInvitation": "households.write",
    "DeclineInvitation": "households.write",
    "WithdrawInvitation": "households.write",
    "ListInvitations": "households.read",
    "LeaveHousehold": "households.write",
    "RemoveHouseholdMember": "households.write",
    "SetShare": "households.write",
    "ListShareConsents": "households.read",
    "HandOverHousehold": "households.write",
}


def test_every_method_of_both_contracts_is_here() -> None:
    merges = merges_pb2.DESCRIPTOR.services_by_name["MergeService"]
    households = households_pb2.DESCRIPTOR.services_by_name["HouseholdService"]
    assert set(SCOPES) == set(merges.methods_by_name) | set(households.methods_by_name)
    for method in households.methods:
        own_scope = method.GetOptions().Extensions[access_pb2.own_scope]
        assert own_scope == f"{SCOPES[method.name]}.own"
    for method in merges.methods:
        assert not method.GetOptions().Extensions[access_pb2.own_scope]


def asked(method: str) -> dict[str, Any]:
    """A request that is valid and names nothing there is."""
    missing = str(uuid.uuid4())
    named = {
        "name": f"merges/{missing}" if "Merge" in method else f"households/{missing}",
        "parent": f"members/{missing}",
        "source": f"members/{missing}",
        "target": f"members/{uuid.uuid4()}",
        "member": f"members/{missing}",
        "owner": f"members/{missing}",
        "household": f"households/{missing}",
        "invitation": f"households/{missing}/invitations/{missing}",
        "reason": "enrolled twice",
    }
    fields = METHODS[method].input_type.fields_by_name
    return {name: value for name, value in named.items() if name in fields}


async def test_each_method_is_open_to_its_scope_and_to_no_other(
    members: Members, tokens: Tokens
) -> None:
    together = Together(members)
    before = contents(members.database_url)
    for method, scope in SCOPES.items():
        others = {*EVERYTHING, "sales.write"} - {scope}
        refusal = await refused(together.ask(method, tokens.bearer(*others), **asked(method)))
        assert (refusal.code, refusal.metadata) == (
            grpc.StatusCode.PERMISSION_DENIED,
            {"scope": scope},
        )
        refusal = await refused(together.ask(method, tokens.bearer(scope), **asked(method)))
        assert refusal.code is grpc.StatusCode.NOT_FOUND
    assert contents(members.database_url) == before


async def test_what_is_no_name_or_id_is_invalid(members: Members) -> None:
    together = Together(members)
    for method in SCOPES:
        fields = asked(method)
        for name in fields:
            refusal = await refused(together.ask(method, **{**fields, name: "\0"}))
            assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, (name,))
        if "request_id" in METHODS[method].input_type.fields_by_name:
            refusal = await refused(together.ask(method, **fields, request_id="1"))
            assert refusal.fields == ("request_id",)
