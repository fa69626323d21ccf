"""The households as members with a card each, known to the ledger before the first sale."""

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.ledger.v1 import ledger_pb2, ledger_pb2_grpc
from loyalty.members.v1 import members_pb2, members_pb2_grpc

from services.cli.demo.failure import ReplayError
from services.cli.demo.requests import card_token, request_id
from services.plumbing.grpc_client import bearer, channel

CALLS_IN_FLIGHT = 32
CALL_SECONDS_MAX = 30.0
ATTACH_SECONDS_MAX = 120.0
ATTACH_POLL_SECONDS = 0.2
ENROL_TIME = datetime(2017, 1, 1, tzinfo=UTC)


def enrol(households: Iterable[int], *, members_address: str, token: str) -> list[str]:
    """Enrol each household and return the members' names; one enrolled before stays as it is."""
    with (
        channel(members_address) as opened,
        ThreadPoolExecutor(CALLS_IN_FLIGHT, thread_name_prefix="enrol") as pool,
    ):
        members = members_pb2_grpc.MembersServiceStub(opened)

        def enrol_one(household: int) -> str:
            response = members.EnrolMember(
                enrolment(household), timeout=CALL_SECONDS_MAX, metadata=bearer(token)
            )
            return response.member.name

        return list(pool.map(enrol_one, households))


def enrolment(household: int) -> members_pb2.EnrolMemberRequest:
    enrol_time = Timestamp()
    enrol_time.FromDatetime(ENROL_TIME)
    return members_pb2.EnrolMemberRequest(
        request_id=request_id("household", household),
        given_name="Household",
        family_name=str(household),
        card_token=card_token(household),
        enrol_time=enrol_time,
    )


def wait_until_attached(members: Sequence[str], *, ledger_address: str, token: str) -> None:
    """Wait until the ledger knows every member's wallet. Refuses: ReplayError after two minutes."""
    waiting = list(members)
    deadline = time.monotonic() + ATTACH_SECONDS_MAX
    with (
        channel(ledger_address) as opened,
        ThreadPoolExecutor(CALLS_IN_FLIGHT, thread_name_prefix="attach") as pool,
    ):
        ledger = ledger_pb2_grpc.LedgerServiceStub(opened)

        def has_wallet(member: str) -> bool:
            return _has_wallet(ledger, member, token)

        while waiting:
            # One question at a time leaves the machine to the bus, which goes by enrolment: when
            # the last has a wallet, nearly all the others have.
            if has_wallet(waiting[-1]):
                found = list(pool.map(has_wallet, waiting))
                waiting = [member for member, has in zip(waiting, found, strict=True) if not has]
            elif time.monotonic() > deadline:
                raise ReplayError(f"the bus has not attached {len(waiting)} cards")
            else:
                time.sleep(ATTACH_POLL_SECONDS)


def _has_wallet(ledger: ledger_pb2_grpc.LedgerServiceStub, member: str, token: str) -> bool:
    request = ledger_pb2.GetWalletRequest(name=f"{member}/wallet")
    try:
        ledger.GetWallet(request, timeout=CALL_SECONDS_MAX, metadata=bearer(token))
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return False
        raise
    return True
