"""What members, care agents and accountants look up. Each reads in one transaction and changes
nothing.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from sqlalchemy import Connection, Engine

from services.ledger.domain.checking import check_document
from services.ledger.domain.circumstances import Rules, with_titles
from services.ledger.domain.documents import Document, DocumentType, Entry
from services.ledger.domain.lots import Lot, LotUse
from services.ledger.domain.policy import Rule
from services.ledger.domain.proposals import Proposal
from services.ledger.domain.refusals import EntryNotFound, MemberMerged, WalletNotFound
from services.ledger.domain.shared_holds import shared_hold_of
from services.ledger.storage import (
    accounts,
    directory,
    journal,
    merges,
    policies,
    proposals,
    shared_holds,
)
from services.ledger.storage import lots as stored_lots
from services.ledger.storage.accounts import WalletBalance
from services.ledger.storage.journal import DocumentKey, Period, Posted, StatementKey
from services.ledger.storage.shards import schema, schemas, shard_of
from services.plumbing.database import looking, transaction
from services.plumbing.errors import Refused


@dataclass(frozen=True, slots=True)
class Holding:
    """The wallets behind a name: one by its id, or all that count for a member, own ones first."""

    wallet_ids: tuple[int, ...]
    member_id: str | None
    # Whose each is by origin; none of a card that nobody enrolled with.
    owners: Mapping[int, str] = field(default_factory=dict)
    # Whether the request at hand made a shared hold before.
    shared_before: bool = False

    @property
    def own_wallet_ids(self) -> tuple[int, ...]:
        """Those that the member was given themselves, or the one of a card nobody enrolled with."""
        return tuple(w for w in self.wallet_ids if self.owners.get(w) == self.member_id)


@dataclass(frozen=True, slots=True)
class HeldBalance:
    holding: Holding
    balance: WalletBalance


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an entry is there: the document, the lots, and the points recomputed from journal and
    policy.
    """

    posted: Posted
    entry: Entry
    sale: Document | None
    rule: Rule | None
    lots: Sequence[tuple[LotUse, Lot]]
    # Whose wallet it is by origin, and who spent what a shared hold burned.
    owner_id: str | None
    spender_id: str | None
    recomputed: int
    agrees: bool
    # What an adjustment was before a second person approved it.
    proposal: Proposal | None


@dataclass(frozen=True, slots=True)
class Reading:
    engine: Engine
    shards: int

    def holdings_of_members(
        self, asked: Sequence[tuple[str, str | None]]
    ) -> list[Holding | Refused]:
        """What members have, each with the request at hand, if one is; or why that is refused:
        WalletNotFound, MemberMerged.
        """
        with looking(self.engine) as connection:
            return [
                counting_for(connection, member_id, counting)
                for (member_id, _), counting in zip(
                    asked, directory.holdings_of(connection, asked), strict=True
                )
            ]

    def holding(self, wallet_id: int) -> Holding:
        """Refuses: WalletNotFound."""
        with transaction(self.engine) as connection:
            owner = directory.owner_of(connection, wallet_id)
            where = schema(shard_of(wallet_id, self.shards))
            if owner is None and not accounts.balances(connection, where, [wallet_id]):
                raise WalletNotFound("there is no such wallet")
            return Holding((wallet_id,), owner, {wallet_id: owner} if owner else {})

    def owns(self, member_id: str, wallet_id: int) -> bool:
        """Whether a wallet counts for a member."""
        with transaction(self.engine) as connection:
            owner = directory.owner_of(connection, wallet_id)
            return owner is not None and merges.root_of(connection, owner) == member_id

    def spenders(self, documents: Sequence[Document]) -> dict[DocumentKey, str]:
        """Who spent the points, of burns that took them for a member with several wallets or a
        household.
        """
        shared = {
            document_key(document): shared_hold_of(document)
            for document in documents
            if document.type is DocumentType.BURN
        }
        wanted = {found for found in shared.values() if found}
        if not wanted:
            return {}
        with transaction(self.engine) as connection:
            members = shared_holds.spenders(connection, wanted)
        return {key: members[found] for key, found in shared.items() if found in members}

    def balance(self, holding: Holding) -> HeldBalance:
        """The balance over all wallets of a holding; the first to expire of any."""
        with transaction(self.engine) as connection:
            found = list(balances_of(connection, holding.wallet_ids, self.shards).values())
        expiring = min(
            (b for b in found if b.expire_time is not None),
            key=lambda b: b.expire_time or 0,
            default=WalletBalance(0),
        )
        return HeldBalance(
            holding,
            WalletBalance(
                wallet_id=holding.wallet_ids[0] if holding.wallet_ids else 0,
                available=sum(b.available for b in found),
                pending=sum(b.pending for b in found),
                qualifying=sum(b.qualifying for b in found),
                lifetime=sum(b.lifetime for b in found),
                overdrawn=sum(b.overdrawn for b in found),
                held=sum(b.held for b in found),
                expiring=sum(b.expiring for b in found if b.expire_time == expiring.expire_time),
                expire_time=expiring.expire_time,
            ),
        )

    def statement(
        self,
        holding: Holding,
        *,
        period: Period,
        before: StatementKey | None,
        limit: int,
        sales_only: bool,
    ) -> tuple[list[Posted], set[DocumentKey]]:
        """Documents newest first, and which of them are voided sales."""
        with transaction(self.engine) as connection:
            pages = [
                journal.statement(
                    connection,
                    where,
                    ids,
                    period=period,
                    before=before,
                    limit=limit,
                    sales_only=sales_only,
                )
                for where, ids in by_schema(holding.wallet_ids, self.shards)
            ]
            merged = heapq.merge(*pages, key=statement_key, reverse=True)
            found = list(islice(merged, limit))
            voided = self._voided(connection, [posted.document for posted in found])
            rules = Rules(policies.all_policies(connection))
        return [titled(posted, rules) for posted in found], voided

    def _voided(self, connection: Connection, documents: Sequence[Document]) -> set[DocumentKey]:
        sales: dict[str, list[DocumentKey]] = {}
        for document in documents:
            if document.type is DocumentType.SALE:
                where = schema(shard_of(document.wallet_id, self.shards))
                sales.setdefault(where, []).append(document_key(document))
        return {
            voided
            for where, keys in sales.items()
            for voided in journal.voided_among(connection, where, keys)
        }

    def explain(self, wallet_id: int, document_id: int, ordinal: int) -> Explanation:
        """Refuses: EntryNotFound."""
        where = schema(shard_of(wallet_id, self.shards))
        with transaction(self.engine) as connection:
            posted = journal.documents(connection, where, [document_id]).get(document_id)
            if posted is None or posted.document.wallet_id != wallet_id:
                raise EntryNotFound("there is no such entry")
            rules = Rules(policies.all_policies(connection))
            posted = titled(posted, rules)
            document = posted.document
            entry = next((e for e in document.entries if e.ordinal == ordinal), None)
            if entry is None:
                raise EntryNotFound("there is no such entry")
            lots = stored_lots.lot_uses_of(connection, where, document_id, ordinal)
            owner_id = directory.owner_of(connection, wallet_id)
            original = journal.original_before(connection, where, document)
            sale = document if document.type is DocumentType.SALE else None
            proposal = None
            if document.type is DocumentType.ADJUSTMENT:
                proposal = proposals.of_request(connection, wallet_id, document.request_id)
            if original is not None:
                found = journal.documents(connection, where, [document.original_id])
                sale = found[document.original_id].document
        check = check_document(document, original, rules)
        expected = [
            points
            for rule, kind, points in check.expected
            if (rule, kind) == (entry.rule, entry.kind)
        ]
        return Explanation(
            posted=posted,
            entry=entry,
            sale=sale,
            rule=rule_of(rules, entry),
            lots=lots,
            owner_id=owner_id,
            spender_id=self.spenders([document]).get(document_key(document)),
            recomputed=expected[0] if expected else entry.points,
            agrees=not check.problems,
            proposal=proposal,
        )

    def programme_accounts(self) -> dict[tuple[int, int], int]:
        """What each account gave less what it took, over all shards."""
        with transaction(self.engine) as connection:
            return accounts.all_movements(connection, schemas(connection))


def counting_for(
    connection: Connection, member_id: str, counting: directory.Counting
) -> Holding | Refused:
    """What a member has, or why that is refused: WalletNotFound, MemberMerged."""
    if counting.target_id is not None:
        root = f"members/{merges.root_of(connection, counting.target_id)}"
        return MemberMerged(f"the member was merged into {root}", into=root)
    if not counting.owners and not directory.is_member(connection, member_id):
        return WalletNotFound("no such member is known here")
    return Holding(tuple(counting.owners), member_id, counting.owners, counting.shared_before)


def by_schema(wallet_ids: Sequence[int], shards: int) -> list[tuple[str, list[int]]]:
    """Wallets by the schema they lie in."""
    found: dict[str, list[int]] = {}
    for wallet_id in wallet_ids:
        found.setdefault(schema(shard_of(wallet_id, shards)), []).append(wallet_id)
    return list(found.items())


def balances_of(
    connection: Connection, wallet_ids: Sequence[int], shards: int
) -> dict[int, WalletBalance]:
    """The balance of each of these wallets that is there, whichever shard it lies in."""
    return {
        wallet_id: balance
        for where, ids in by_schema(wallet_ids, shards)
        for wallet_id, balance in accounts.balances(connection, where, ids).items()
    }


def document_key(document: Document) -> DocumentKey:
    return document.wallet_id, document.document_id


def statement_key(posted: Posted) -> StatementKey:
    document = posted.document
    return document.business_time, document.document_id, document.wallet_id


def titled(posted: Posted, rules: Rules) -> Posted:
    return Posted(with_titles(posted.document, rules), posted.post_time)


def rule_of(rules: Rules, entry: Entry) -> Rule | None:
    if not entry.policy_version:
        return None
    policy = rules.book.version(entry.policy_version)
    return next((rule for rule in policy.rules if rule.rule == entry.rule), None)
