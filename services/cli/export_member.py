"""`loyalty export-member`: all that the platform keeps of a member, as one JSON document."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import grpc
import typer
from google.protobuf import descriptor_pool, json_format
from google.protobuf.message import Message
from loyalty.ledger.v1 import (
    ledger_pb2,
    ledger_pb2_grpc,
    points_pb2,
    points_pb2_grpc,
    transfers_pb2,
    transfers_pb2_grpc,
)
from loyalty.members.v1 import (
    households_pb2,
    households_pb2_grpc,
    members_pb2,
    members_pb2_grpc,
    merges_pb2,
    merges_pb2_grpc,
)
from loyalty.rewards.v1 import redemption_pb2, redemption_pb2_grpc, vouchers_pb2, vouchers_pb2_grpc
from loyalty.tiering.v1 import tiering_pb2, tiering_pb2_grpc

from services.cli.call import OPERATOR, say_refusal
from services.cli.run_file import NothingRuns, RunningPlatform
from services.cli.tokens import mint
from services.plumbing.grpc_client import bearer, channel, error_info

SERVICES = ("members", "ledger", "tiering", "rewards")
SCOPES = (
    "members.read households.read wallets.read tiers.read rewards.read redemptions.read"
    " vouchers.read"
)
CALL_SECONDS_MAX = 60.0
TOKEN_SECONDS = 86_400
# More than any list gives at once; each gives as many as it does.
PAGE_SIZE = 500

# By their keys in the document: one value, or a list that may be long.
Sections = Iterator[tuple[str, Message | Iterable[Message] | None]]


class MergedAway(Exception):  # noqa: N818 — an answer, not an accident
    """The member counts as another, with whom they are exported."""

    def __init__(self, into: str) -> None:
        super().__init__(f"the member is merged into {into}; export that one")


class ServiceRefused(Exception):  # noqa: N818 — an answer, not an accident
    """A service that did not answer what it was asked."""

    def __init__(self, service: str, error: grpc.RpcError) -> None:
        super().__init__(f"{service} cannot be read")
        self.service = service
        self.error = error

    @property
    def reason(self) -> str:
        info = error_info(self.error)
        return info.reason if info else ""


def run(data_dir: Path, member: str, file: Path | None, groups: Sequence[str]) -> None:
    """Write a member's document to a file, or to the output. Ends with exit code 1 and a line when
    it cannot; then no part of the document is left.
    """
    try:
        platform = RunningPlatform.load(data_dir)
        token = mint(
            data_dir,
            subject=OPERATOR,
            scope=SCOPES,
            stores=[],
            lifetime_seconds=TOKEN_SECONDS,
        )
        with ExitStack() as opened:
            channels = {
                service: opened.enter_context(
                    channel(platform.grpc_address(service), seconds_max=CALL_SECONDS_MAX)
                )
                for service in SERVICES
            }
            document = sections(Asking(channels, token), member, groups)
            with whole_file(file) if file else whole_output() as target:
                write(document, target)
    except (NothingRuns, MergedAway, OSError) as refused:
        typer.echo(f"loyalty export-member: {refused}", err=True)
        raise typer.Exit(1) from None
    except ServiceRefused as refused:
        typer.echo(f"loyalty export-member: {refused.service} cannot be read", err=True)
        say_refusal(refused.error)
        raise typer.Exit(1) from None


class Asking:
    """Calls to the services of a platform, with a token that may read all of a member."""

    def __init__(self, channels: dict[str, grpc.Channel], token: str) -> None:
        self.channels = channels
        self._metadata = bearer(token)

    def one(self, service: str, call: Any, request: Message) -> Any:
        """Refuses: ServiceRefused."""
        try:
            return call(request, metadata=self._metadata)
        except grpc.RpcError as error:
            raise ServiceRefused(service, error) from None

    def all(self, service: str, call: Any, request: Any, field: str) -> Iterator[Any]:
        """What a list holds, page after page. Refuses: ServiceRefused."""
        request.page_size = PAGE_SIZE
        while True:
            page = self.one(service, call, request)
            yield from getattr(page, field)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token


def sections(asking: Asking, name: str, groups: Sequence[str]) -> Sections:
    """The document, piece by piece. Refuses: MergedAway, ServiceRefused."""
    stub = members_pb2_grpc.MembersServiceStub(asking.channels["members"])
    asked = members_pb2.GetMemberRequest(name=name)
    member: members_pb2.Member = asking.one("members", stub.GetMember, asked).member
    if member.merged_into:
        raise MergedAway(member.merged_into)
    yield "member", member
    yield from _of_members(asking, member)
    yield from _of_ledger(asking, name)
    yield "tiers", _tiers(asking, name, groups)
    yield from _of_rewards(asking, name)


def _of_members(asking: Asking, member: members_pb2.Member) -> Sections:
    opened = asking.channels["members"]
    stub = members_pb2_grpc.MembersServiceStub(opened)
    merges = _merges(asking, member.name)
    yield (
        "mergedMembers",
        (
            asking.one(
                "members", stub.GetMember, members_pb2.GetMemberRequest(name=merge.source)
            ).member
            for merge in merges
            if not merge.HasField("undo_time")
        ),
    )
    yield "merges", merges
    consents = members_pb2.ListConsentsRequest(member=member.name)
    yield "consents", asking.all("members", stub.ListConsents, consents, "consents")
    households = households_pb2_grpc.HouseholdServiceStub(opened)
    yield "household", _household(asking, households, member)
    shares = households_pb2.ListShareConsentsRequest(parent=member.name)
    yield (
        "shareConsents",
        asking.all("members", households.ListShareConsents, shares, "share_consents"),
    )
    invitations = households_pb2.ListInvitationsRequest(parent=member.name)
    yield (
        "invitations",
        asking.all("members", households.ListInvitations, invitations, "invitations"),
    )


def _merges(asking: Asking, member: str) -> list[merges_pb2.Merge]:
    """The merges of a member and of whoever is merged into them, each once."""
    stub = merges_pb2_grpc.MergeServiceStub(asking.channels["members"])
    found: dict[str, merges_pb2.Merge] = {}
    to_ask = [member]
    while to_ask:
        asked = merges_pb2.ListMergesRequest(parent=to_ask.pop())
        for merge in asking.all("members", stub.ListMerges, asked, "merges"):
            if merge.name not in found and not merge.HasField("undo_time"):
                to_ask.append(merge.source)
            found[merge.name] = merge
    return list(found.values())


def _household(
    asking: Asking, stub: households_pb2_grpc.HouseholdServiceStub, member: members_pb2.Member
) -> Message | None:
    """The member's household without the others: what is theirs is not the member's."""
    if not member.household:
        return None
    asked = households_pb2.GetHouseholdRequest(name=member.household)
    household: households_pb2.Household = asking.one("members", stub.GetHousehold, asked).household
    own = [each for each in household.members if each.member == member.name]
    del household.members[:]
    household.members.extend(own)
    if household.owner != member.name:
        household.owner = ""
    return household


def _of_ledger(asking: Asking, member: str) -> Sections:
    parent = f"{member}/wallet"
    opened = asking.channels["ledger"]
    ledger = ledger_pb2_grpc.LedgerServiceStub(opened)
    points = points_pb2_grpc.PointsServiceStub(opened)
    transfers = transfers_pb2_grpc.TransferServiceStub(opened)
    wallet: Message | None = None
    try:
        asked = ledger_pb2.GetWalletRequest(name=parent)
        wallet = asking.one("ledger", ledger.GetWallet, asked).wallet
    except ServiceRefused as refused:
        # Whoever never had a card has none.
        if refused.reason != "WALLET_NOT_FOUND":
            raise
    yield "wallet", wallet
    lists = (
        ("lots", points.ListLots, points_pb2.ListLotsRequest(parent=parent)),
        ("holds", points.ListHolds, points_pb2.ListHoldsRequest(parent=parent)),
        ("entries", ledger.ListEntries, ledger_pb2.ListEntriesRequest(parent=parent)),
        ("sales", ledger.ListSales, ledger_pb2.ListSalesRequest(parent=parent)),
        (
            "transfers",
            transfers.ListTransfers,
            transfers_pb2.ListTransfersRequest(parent=parent),
        ),
    )
    for key, call, request in lists:
        yield key, asking.all("ledger", call, request, key) if wallet else ()


def _tiers(asking: Asking, member: str, groups: Sequence[str]) -> Iterator[Message]:
    stub = tiering_pb2_grpc.TierServiceStub(asking.channels["tiering"])
    for group in groups:
        asked = tiering_pb2.GetMemberTierRequest(name=f"{member}/tiers/{group}")
        try:
            yield asking.one("tiering", stub.GetMemberTier, asked).member_tier
        except ServiceRefused as refused:
            # A programme without tiers is one all the same.
            if refused.reason != "TIER_GROUP_NOT_FOUND":
                raise


def _of_rewards(asking: Asking, member: str) -> Sections:
    opened = asking.channels["rewards"]
    redemptions = redemption_pb2_grpc.RedemptionServiceStub(opened)
    vouchers = vouchers_pb2_grpc.VoucherServiceStub(opened)
    lists = (
        (
            "redemptions",
            redemptions.ListRedemptions,
            redemption_pb2.ListRedemptionsRequest(parent=member),
        ),
        ("vouchers", vouchers.ListVouchers, vouchers_pb2.ListVouchersRequest(parent=member)),
    )
    for key, call, request in lists:
        yield key, asking.all("rewards", call, request, key)


def write(document: Sections, target: IO[str]) -> None:
    """The document as JSON, each piece as it comes."""
    separator = "{"
    for key, value in document:
        target.write(f"{separator}\n{json.dumps(key)}: ")
        if value is None or isinstance(value, Message):
            target.write("null" if value is None else _json(value))
        else:
            _write_list(value, target)
        separator = ","
    target.write("\n}\n")


def _write_list(items: Iterable[Message], target: IO[str]) -> None:
    separator = "["
    for item in items:
        target.write(f"{separator}\n  {_json(item)}")
        separator = ","
    target.write("[]" if separator == "[" else "]")


def _json(message: Message) -> str:
    fields = json_format.MessageToDict(message, descriptor_pool=descriptor_pool.Default())
    return json.dumps(fields, ensure_ascii=False)


@contextmanager
def whole_file(file: Path) -> Iterator[IO[str]]:
    """A file that is there when all of it is, for its owner alone: it is about a person."""
    unfinished = file.with_name(file.name + ".unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as target:
            yield target
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def whole_output() -> Iterator[IO[str]]:
    """The output, which gets all or nothing."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as target:
        yield target
        target.seek(0)
        shutil.copyfileobj(target, sys.stdout)
