"""Post a batch of commands to a shard: the one transaction that moves points."""

from collections.abc import Callable, Container, Sequence
from functools import partial
from typing import TypeVar

import msgspec

from services.ledger.domain import refusals
from services.ledger.domain.basket import Sale
from services.ledger.domain.circumstances import (
    NO_TIERS,
    Circumstances,
    Rules,
    with_titles,
)
from services.ledger.domain.documents import (
    ActivatePoints,
    CapturePoints,
    Command,
    Document,
    DocumentType,
    ExpirePoints,
    Original,
    RecordReturn,
    RecordSale,
    RefundPoints,
    ReleaseHold,
)
from services.ledger.domain.forgiving import gives_back
from services.ledger.domain.lots import Burn
from services.ledger.domain.posting import decide, makes_wallet, without_wallet
from services.ledger.domain.returning import is_origin, original_of
from services.ledger.domain.selling import NO_TIER
from services.ledger.domain.spending import burned_by, refunded_by
from services.ledger.domain.wallet import WalletState
from services.ledger.storage import (
    appending,
    forgiven,
    holds,
    journal,
    lots,
    policies,
    posting,
    tiers,
)
from services.ledger.usecases.activity import Activity, look_up
from services.ledger.usecases.shard import Shard
from services.plumbing.batch_session import BatchTransaction
from services.plumbing.errors import Refused

# A document, or the refusal of a request_id that was used for another body.
Answer = Document | Refused
# What becomes of an answer before it is given.
Told = TypeVar("Told")
# What a night asks for.
AGING = (ActivatePoints, ExpirePoints)
# What tells receipts apart: wallet, store, terminal and number.
Receipt = tuple[int, str, str, str]


def post(
    shard: Shard,
    commands: Sequence[Command],
    told: Callable[[Command, Answer], Told],
    *,
    is_urgent: bool = False,
) -> list[Told]:
    """Do what is asked, in order, once, and answer what is `told` of each, in the same order; that
    is made while the database commits.

    A request_id known to the wallet gets its first answer again, a refusal included; one known
    with another body is refused as RequestIdReused. Everything commits together with the event that
    announces it. An urgent batch is quicker, and costs more processor.
    """
    try:
        return _post(shard, commands, told, is_urgent=is_urgent)
    except BaseException:
        # A block of ids drawn in a transaction that a crash undid may be handed out again.
        shard.ids = iter(())
        raise


def _post(
    shard: Shard,
    asked: Sequence[Command],
    told: Callable[[Command, Answer], Told],
    *,
    is_urgent: bool,
) -> list[Told]:
    made = {command.wallet_id for command in asked if makes_wallet(command)}
    with shard.session.transaction(is_urgent=is_urgent) as transaction:
        wallets, known = posting.lock_and_look(
            transaction,
            shard.schema,
            shard.number,
            asked,
            made=made,
            tiered=shard.tiers is not NO_TIERS,
        )
        commands = [command for command in asked if command.wallet_id in wallets]
        if known.policy_version != shard.rules.newest_version:
            shard.rules = Rules(policies.all_policies(transaction.connection))
        if known.tier_rule_sets != shard.tiers.newest:
            shard.tiers = tiers.book(transaction.connection)
        batch = _Batch(shard, transaction, wallets, known)
        answers = batch.answers(commands)
        announced = False
        if batch.documents:
            announced = appending.append(
                transaction,
                shard.schema,
                documents=batch.documents,
                wallets=wallets.values(),
                announce=partial(shard.announce, shard.number),
                post_time=shard.clock(),
            )
        settled = iter(answers)
        tellings = [
            told(
                command,
                next(settled) if command.wallet_id in wallets else without_wallet(command),
            )
            for command in asked
        ]
    shard.unheard |= announced
    return tellings


class _Batch:
    """The decisions of one batch over wallets that are locked."""

    def __init__(
        self,
        shard: Shard,
        transaction: BatchTransaction,
        wallets: dict[int, WalletState],
        known: posting.Known,
    ) -> None:
        self._shard = shard
        self._transaction = transaction
        self._wallets = wallets
        self._known = known
        self.documents: list[Document] = []
        self._receipts: set[Receipt] = set()
        self._burns: dict[holds.Key, Burn] = {}
        self._activity = Activity({}, {})

    def answers(self, commands: Sequence[Command]) -> list[Answer]:
        decided = self._stored()
        originals = self._load(commands, decided)
        shard = self._shard
        circumstances = Circumstances(
            shard.rules, shard.limits, shard.clock(), self._next_id, shard.tiers
        )
        answers: list[Answer] = []
        for command in commands:
            key = command.wallet_id, command.request_id
            document = decided.get(key)
            if document is not None:
                answers.append(said_again(first_answer(document, command.body_hash)))
                continue
            if isinstance(command, RecordSale):
                document = self._sold(command, circumstances)
            else:
                document = decide(
                    command,
                    self._wallets[command.wallet_id],
                    circumstances,
                    original=self._original(command, originals.get(key)),
                    burn=self._burn(command),
                )
            decided[key] = document
            self.documents.append(document)
            answers.append(first_answer(document, command.body_hash))
        return answers

    def _sold(self, command: RecordSale, circumstances: Circumstances) -> Document:
        key = command.wallet_id, command.request_id
        receipt = receipt_of(command.wallet_id, command.sale)
        document = decide(
            command,
            self._wallets[command.wallet_id],
            circumstances,
            tiers=self._known.tiers.get(key, NO_TIER),
            duplicate=key in self._known.duplicates or receipt in self._receipts,
        )
        if not document.refusal:
            self._receipts.add(receipt)
        return document

    def _load(
        self, commands: Sequence[Command], stored: Container[tuple[int, str]]
    ) -> dict[tuple[int, str], Original]:
        """What the commands are about that were not answered before; returns are told their
        originals.
        """
        fresh = commands
        if stored:
            fresh = [c for c in commands if (c.wallet_id, c.request_id) not in stored]
        # Of sales, which are many, nothing is looked up but lots, and these of few.
        others = [command for command in fresh if not isinstance(command, RecordSale)]
        originals: dict[tuple[int, str], Original] = {}
        if others:
            originals = self._originals(others)
            self._load_holds(others)
        self._load_lots(fresh, originals)
        if others:
            self._load_forgiven(others)
            self._look_up_activity(others, originals)
        return originals

    def _stored(self) -> dict[tuple[int, str], Document]:
        if not self._known.documents:
            return {}
        ids = list(self._known.documents.values())
        found = journal.documents(self._transaction.connection, self._shard.schema, ids)
        return {
            key: with_titles(found[document_id].document, self._shard.rules)
            for key, document_id in self._known.documents.items()
        }

    def _originals(self, commands: Sequence[Command]) -> dict[tuple[int, str], Original]:
        returns = [command for command in commands if isinstance(command, RecordReturn)]
        if not returns:
            return {}
        origins = [(command.wallet_id, command.origin) for command in returns]
        found = journal.find_originals(self._transaction.connection, self._shard.schema, origins)
        first: dict[tuple[int, str], Original | None] = {}
        for command, original in zip(returns, found, strict=True):
            # A request_id used twice is decided once, by the request that came first.
            first.setdefault((command.wallet_id, command.request_id), original)
        return {key: original for key, original in first.items() if original is not None}

    def _original(self, command: Command, found: Original | None) -> Original | None:
        """The sale a return is about, with what earlier documents of this very batch did."""
        if not isinstance(command, RecordReturn):
            return None
        sold = next((d for d in reversed(self.documents) if is_origin(d, command)), None)
        original = found if sold is None else original_of(sold)
        if original is None:
            return None
        sale_id = original.document_id
        active = self._activity.without(command.wallet_id, sale_id, self.documents)
        return msgspec.structs.replace(self._current(original), active_day_without=active)

    def _look_up_activity(
        self, commands: Sequence[Command], originals: dict[tuple[int, str], Original]
    ) -> None:
        wallets = [c.wallet_id for c in commands if isinstance(c, RecordReturn)]
        if wallets:
            connection, schema = self._transaction.connection, self._shard.schema
            returning = {wallet_id: self._wallets[wallet_id] for wallet_id in wallets}
            sales = [(wallet_id, original) for (wallet_id, _), original in originals.items()]
            self._activity = look_up(connection, schema, returning, sales)

    def _current(self, original: Original) -> Original:
        """An original with what earlier documents of this very batch took back of it."""
        later = [
            document
            for document in self.documents
            if document.original_id == original.document_id and not document.refused
        ]
        if not later:
            return original
        returned = dict(original.returned)
        for document in later:
            journal.add_returned(returned, document.lines_json)
        return msgspec.structs.replace(
            original,
            returned=returned,
            return_ids=(*original.return_ids, *(document.document_id for document in later)),
            voided=original.voided or any(d.type is d.type.VOID for d in later),
            given_back=original.given_back
            + sum(document.tender.points for document in later if document.tender is not None),
        )

    def _load_lots(
        self,
        commands: Sequence[Command],
        originals: dict[tuple[int, str], Original],
    ) -> None:
        drawing, aging = {}, {}
        cutoff = 0
        for command in commands:
            wallet = self._wallets[command.wallet_id]
            if isinstance(command, AGING):
                aging[wallet.wallet_id] = wallet
                cutoff = max(cutoff, command.business_time + 1)
            elif posting.draws_on_lots(command, wallet):
                drawing[wallet.wallet_id] = wallet
        # A night looks at what is due alone: of a large programme that is a small part.
        aging = {key: wallet for key, wallet in aging.items() if key not in drawing}
        if aging:
            connection, schema = self._transaction.connection, self._shard.schema
            lots.load_due(connection, schema, aging, cutoff)
        if drawing:
            connection, schema = self._transaction.connection, self._shard.schema
            documents = {
                document_id
                for original in originals.values()
                for document_id in (original.document_id, *original.return_ids)
            }
            if documents:
                lots.load_expired(connection, schema, drawing, documents)
                lots.load_repaid(connection, schema, drawing, documents)
            documents |= {
                part.lot[0]
                for original in originals.values()
                if original.tender is not None
                for part in original.tender.parts
            }
            documents |= {part.lot[0] for burn in self._burns.values() for part in burn.parts}
            lots.load_lots(connection, schema, drawing, documents)

    def _load_holds(self, commands: Sequence[Command]) -> None:
        """The holds and burns that commands are about."""
        asked = [c for c in commands if isinstance(c, CapturePoints | ReleaseHold)]
        connection, schema = self._transaction.connection, self._shard.schema
        if asked:
            keys = {(command.wallet_id, command.hold_id) for command in asked}
            holds.load_holds(connection, schema, self._wallets, keys)
        refunds = {(c.wallet_id, c.burn_id) for c in commands if isinstance(c, RefundPoints)}
        if refunds:
            self._burns = holds.find_burns(connection, schema, refunds)

    def _load_forgiven(self, commands: Sequence[Command]) -> None:
        """What returns forgave wallets that are given points back."""
        found = {c.wallet_id for c in commands if gives_back(c, self._wallets[c.wallet_id].holds)}
        if found:
            connection, schema = self._transaction.connection, self._shard.schema
            forgiven.load_forgiven(connection, schema, self._wallets, found)

    def _burn(self, command: Command) -> Burn | None:
        """The burn a refund is about, with what earlier documents of this very batch did."""
        if not isinstance(command, RefundPoints):
            return None
        key = command.wallet_id, command.burn_id
        burn = self._burns.get(key)
        for document in self.documents:
            if document.refused or document.wallet_id != command.wallet_id:
                continue
            if document.type is DocumentType.BURN and document.document_id == command.burn_id:
                burn = burned_by(document)
            elif document.type is DocumentType.REFUND and document.original_id == command.burn_id:
                burn = burn and refunded_by(burn, document)
        return burn

    def _next_id(self) -> int:
        found = next(self._shard.ids, None)
        if found is None:
            self._shard.ids = iter(
                posting.next_document_ids(self._transaction.connection, self._shard.schema)
            )
            found = next(self._shard.ids)
        return found


def receipt_of(wallet_id: int, sale: Sale | Document) -> Receipt:
    return wallet_id, sale.store, sale.terminal, sale.receipt_number


def said_again(answer: Answer) -> Answer:
    """An answer to a request that was answered before."""
    if isinstance(answer, Document):
        return msgspec.structs.replace(answer, recorded_before=True)
    return answer


def first_answer(document: Document, body_hash: str) -> Answer:
    """What a request is answered: what its first sending was, if the body is the same."""
    if document.body_hash != body_hash:
        return refusals.RequestIdReused("the request_id was used for another request before")
    if document.refused:
        return refusals.remembered(document.refusal)
    return document
