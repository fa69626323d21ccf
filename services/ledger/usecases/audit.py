"""Prove the books from the tables, while tills go on: each shard as it stands at one moment."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, Engine

from services.ledger.domain import audit
from services.ledger.domain.audit import (
    AnnouncedDocument,
    CheckResult,
    Tally,
    announcement_differences,
)
from services.ledger.domain.checking import check_document
from services.ledger.domain.circumstances import Rules
from services.ledger.domain.documents import Document, Original
from services.ledger.storage import (
    audit_forgiven,
    audit_streams,
    audit_sums,
    audit_together,
    audit_transfers,
    journal,
    policies,
)
from services.ledger.storage.shards import count, schema
from services.ledger.storage.snapshot import take_snapshot
from services.plumbing.database import transaction

# While the database sums one shard, we recompute another.
SHARDS_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Announcements:
    """How batches and policies are announced, by who knows the contract. read refuses: ValueError,
    for what is no announcement of a batch.
    """

    batch_type: str
    policy_type: str
    read: Callable[[bytes], Sequence[AnnouncedDocument]]


def prove(engine: Engine, announcements: Announcements) -> tuple[CheckResult, ...]:
    """Run every check over all shards. Takes SHARDS_AT_ONCE connections of the engine."""
    with transaction(engine) as connection:
        take_snapshot(connection)
        shards = count(connection)
        results = prove_directory(connection, announcements)

    def prove_one(shard: int) -> list[CheckResult]:
        with transaction(engine) as connection:
            take_snapshot(connection)
            return prove_shard(connection, shard, shards, announcements)

    with ThreadPoolExecutor(SHARDS_AT_ONCE, thread_name_prefix="audit") as threads:
        for found in threads.map(prove_one, range(shards)):
            results += found
    return audit.combined(results)


def prove_directory(connection: Connection, announcements: Announcements) -> list[CheckResult]:
    """What is about no one shard; the connection sees one state of all throughout."""
    return [
        audit_streams.compare_policies(connection, announcements.policy_type),
        audit_transfers.compare_transfers(connection, count(connection)),
        *audit_together.compare_directory(connection),
    ]


def prove_shard(
    connection: Connection, shard: int, shards: int, announcements: Announcements
) -> list[CheckResult]:
    """Every check of a shard; the connection sees one state of it throughout."""
    return [
        *audit_sums.compare_sums(connection, shard, shards),
        audit_transfers.compare_parts(connection, shard),
        audit_together.compare_parts(connection, shard, shards),
        recompute(connection, schema(shard)),
        audit_forgiven.compare_forgiven(connection, shard),
        audit_streams.compare_announcements(connection, shard, announcements.batch_type),
        read_announcements(connection, shard, announcements),
    ]


def recompute(connection: Connection, schema: str) -> CheckResult:
    """Recompute every posted document of a shard from its lines and the policy versions."""
    tally = Tally(audit.ENTRIES_RECOMPUTE)
    try:
        rules = Rules(policies.all_policies(connection))
    except msgspec.MsgspecError as error:
        tally.add("earn policies", [f"they cannot be read: {error}"])
        return tally.result
    for document in audit_streams.sales_and_adjustments(connection, schema):
        tally.add(_name(document), check_document(document, None, rules).problems)
    for document, original in _returns(connection, schema):
        tally.add(_name(document), check_document(document, original, rules).problems)
    return tally.result


def _returns(connection: Connection, schema: str) -> Iterator[tuple[Document, Original | None]]:
    """Returns with their sales as they were before each: less what earlier ones took."""
    sale_id = 0
    returned: dict[int, tuple[int, int]] = {}
    given_back = 0
    for document, sold in audit_streams.returns(connection, schema):
        if document.original_id != sale_id:
            sale_id, returned, given_back = document.original_id, {}, 0
        if sold is None:
            yield document, None
            continue
        yield (
            document,
            msgspec.structs.replace(sold, returned=dict(returned), given_back=given_back),
        )
        given_back += document.tender.points if document.tender is not None else 0
        # What cannot be read is reported with the document itself.
        with suppress(msgspec.MsgspecError):
            journal.add_returned(returned, document.lines_json)


def read_announcements(
    connection: Connection, shard: int, announcements: Announcements
) -> CheckResult:
    """Compare each batch's event with what the batch posted."""
    tally = Tally(audit.OUTBOX_COMPLETE)
    for batch in audit_streams.announced_batches(connection, shard, announcements.batch_type):
        try:
            problems = announcement_differences(batch.documents, announcements.read(batch.data))
        except ValueError:
            problems = ["its event cannot be read"]
        tally.add(f"shard {shard}, batch {batch.batch_id}", problems)
    return tally.result


def _name(document: Document) -> str:
    return f"wallet {document.wallet_id}, document {document.document_id}"
