"""Refusals as callers see them, and which scopes open a method."""

import grpc
import pytest
from google.rpc import error_details_pb2
from loyalty.ledger.v1 import point_of_sale_pb2
from loyalty.members.v1 import members_pb2

from services.plumbing import errors
from services.plumbing.auth import Caller
from services.plumbing.grpc_calls import Access, access_of, admit, status_of
from services.plumbing.validation import ItemsToCheck, Validation, refused_items

DOMAIN = "members.loyalty.example"


def caller(*scopes: str, subject: str = "members/1", stores: tuple[str, ...] = ()) -> Caller:
    return Caller(subject, frozenset(scopes), frozenset(stores), expires=0)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.Invalid, grpc.StatusCode.INVALID_ARGUMENT),
        (errors.Unauthenticated, grpc.StatusCode.UNAUTHENTICATED),
        (errors.Forbidden, grpc.StatusCode.PERMISSION_DENIED),
        (errors.Missing, grpc.StatusCode.NOT_FOUND),
        (errors.Clash, grpc.StatusCode.ALREADY_EXISTS),
        (errors.Unmet, grpc.StatusCode.FAILED_PRECONDITION),
        (errors.Stale, grpc.StatusCode.ABORTED),
        (errors.Exhausted, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (errors.Unavailable, grpc.StatusCode.UNAVAILABLE),
    ],
)
def test_each_kind_of_refusal_has_its_code_and_one_error_info(
    kind: type[errors.Refused], code: grpc.StatusCode
) -> None:
    status = status_of(kind("no", reason="WHY", kind="email"), DOMAIN)
    assert (status.code, status.message) == (code.value[0], "no")
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain, dict(info.metadata)) == ("WHY", DOMAIN, {"kind": "email"})


def test_what_may_be_tried_again_says_when() -> None:
    for refusal, details in ((errors.Exhausted("full"), 2), (errors.Invalid("wrong"), 1)):
        assert len(status_of(refusal, DOMAIN).details) == details
    retry = error_details_pb2.RetryInfo()
    assert status_of(errors.Exhausted("full"), DOMAIN).details[1].Unpack(retry)
    assert retry.retry_delay.seconds == 1


def test_a_method_s_scopes_are_read_from_its_contract() -> None:
    service = "/loyalty.members.v1.MembersService/"
    assert access_of(service + "EnrolMember") == Access("members.write", "", "")
    assert access_of(service + "GetMember") == Access("members.read", "members.read.own", "")


def test_the_wider_scope_opens_everybody_s() -> None:
    access = Access("members.read", "members.read.own", "")
    admitted = admit(caller("members.read", "members.read.own"), access)
    admitted.require_own("members/2")
    assert not admitted.own_only


def test_the_narrower_scope_opens_the_subject_s_own_alone() -> None:
    access = Access("members.read", "members.read.own", "")
    admitted = admit(caller("members.read.own"), access)
    admitted.require_own("members/1")
    with pytest.raises(errors.Forbidden) as refusal:
        admitted.require_own("members/2")
    assert refusal.value.reason == "NOT_YOURS"


@pytest.mark.parametrize("access", [Access("a", "", ""), Access("a", "b", ""), Access("", "", "")])
def test_no_scope_that_opens_it_is_refused(access: Access) -> None:
    with pytest.raises(errors.Forbidden) as refusal:
        admit(caller("c", ""), access)
    assert refusal.value.reason == "MISSING_SCOPE"


def test_a_token_s_stores_are_its_own_or_all() -> None:
    caller(stores=("31",)).require_store("31")
    caller(stores=("*",)).require_store("32")
    with pytest.raises(errors.Forbidden) as refusal:
        caller(stores=("31",)).require_store("32")
    assert (refusal.value.reason, refusal.value.metadata) == ("FOREIGN_STORE", {"store": "32"})


def test_every_wrong_field_is_listed_without_what_stands_in_it() -> None:
    request = members_pb2.EnrolMemberRequest(
        request_id="4111111111111111",
        given_name="4111111111111111" * 20,
        consents=[members_pb2.Consent(purpose="4111111111111111")],
        preferences={"k": "4111111111111111" * 20},
    )
    with pytest.raises(errors.Invalid) as refusal:
        Validation().check(request)
    fields = [violation.field for violation in refusal.value.violations]
    assert fields[:2] == ["request_id", "given_name"]
    assert {"preferences[k]", "consents[0].purpose", "consents[0].time"} <= set(fields)
    assert "4111" not in repr(refusal.value.violations) + refusal.value.message


def test_items_are_checked_when_their_method_asks_for_them() -> None:
    request = point_of_sale_pb2.BatchRecordSalesRequest(
        requests=[point_of_sale_pb2.RecordSaleRequest()]
    )
    items = ItemsToCheck(Validation(), request, "requests")
    assert not items.checked
    assert [refusal.reason for refusal in refused_items().values()] == ["INVALID_REQUEST"]
    assert items.checked


def test_what_is_wrong_beside_the_items_refuses_the_request() -> None:
    items = ItemsToCheck(Validation(), point_of_sale_pb2.BatchRecordSalesRequest(), "requests")
    with pytest.raises(errors.Invalid) as refusal:
        items.refused()
    assert refusal.value.violations[0].field == "requests"
    assert not items.checked
