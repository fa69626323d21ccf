"""Enrols the customers of a load, forms families of some, and blocks a few cards."""

import time

import grpc
from loyalty.ledger.v1 import point_of_sale_pb2, point_of_sale_pb2_grpc
from loyalty.members.v1 import members_pb2, members_pb2_grpc

from loadtests.tills.baskets import basket
from loadtests.tills.customers import Customers, issuer_of
from loadtests.tills.households import form_families
from services.cli.demo.enrolment import enrol, wait_until_attached
from services.cli.demo.requests import card_token
from services.cli.run_file import RunningPlatform
from services.plumbing.grpc_client import bearer, channel, error_info

# Members for care agents alone, and cards that are refused.
RESERVED = 4
BLOCKED = 3
TOKEN_SECONDS = 600
CALL_SECONDS_MAX = 30.0
BLOCK_SECONDS_MAX = 60.0
POLL_SECONDS = 0.05


class BlockNotHeard(Exception):  # noqa: N818 — says what happened
    """The ledger did not hear of a blocked card."""


def enrol_customers(platform: RunningPlatform, count: int) -> Customers:
    """Enrol so many members with a card each, a few for care agents, and a few to be blocked.

    Refuses: BlockNotHeard, FamilyNotHeard, ReplayError when the bus does not bring the cards to the
    ledger.
    """
    token = issuer_of(platform).mint(
        "load/enrolment",
        ["members.write", "wallets.read", "sales.write"],
        ["*"],
        TOKEN_SECONDS,
    )
    numbers = range(1, count + RESERVED + BLOCKED + 1)
    members = enrol(numbers, members_address=platform.grpc_address("members"), token=token)
    ledger_address = platform.grpc_address("ledger")
    wait_until_attached(members, ledger_address=ledger_address, token=token)
    cards = [card_token(number) for number in numbers]
    for card in cards[count + RESERVED :]:
        _block(card, platform, token)
    return Customers(
        members=tuple(members[:count]),
        families=form_families(platform, members[:count]),
        reserved=tuple(members[count : count + RESERVED]),
        cards=tuple(cards[: count + RESERVED]),
        blocked_cards=tuple(cards[count + RESERVED :]),
    )


def _block(card: str, platform: RunningPlatform, token: str) -> None:
    with channel(platform.grpc_address("members")) as opened:
        members_pb2_grpc.MembersServiceStub(opened).BlockCard(
            members_pb2.BlockCardRequest(card_token=card, reason="reported lost"),
            timeout=CALL_SECONDS_MAX,
            metadata=bearer(token),
        )
    deadline = time.monotonic() + BLOCK_SECONDS_MAX
    with channel(platform.grpc_address("ledger")) as opened:
        tills = point_of_sale_pb2_grpc.PointOfSaleServiceStub(opened)
        while not _is_refused(tills, card, token):
            if time.monotonic() > deadline:
                raise BlockNotHeard(card)
            time.sleep(POLL_SECONDS)


def _is_refused(
    tills: point_of_sale_pb2_grpc.PointOfSaleServiceStub, card: str, token: str
) -> bool:
    sale = basket(card=card, store="1", terminal="1", receipt_number="1", age_seconds=0)
    request = point_of_sale_pb2.QuoteSaleRequest(sale=sale)
    try:
        tills.QuoteSale(request, timeout=CALL_SECONDS_MAX, metadata=bearer(token))
    except grpc.RpcError as error:
        info = error_info(error)
        if info is not None and info.reason == "CARD_BLOCKED":
            return True
        raise
    return False
