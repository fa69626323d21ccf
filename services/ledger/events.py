"""The ledger's events in the words of the contract."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from google.protobuf.message import DecodeError
from loyalty.ledger.v1 import events_pb2, ledger_pb2, point_of_sale_pb2

from services.ledger.domain.audit import AnnouncedDocument, AnnouncedEntry
from services.ledger.domain.documents import Document
from services.ledger.domain.policy import Policy
from services.plumbing import wire
from services.plumbing.outbox import Event
from services.plumbing.timestamps import timestamp

ENTRIES_POSTED = events_pb2.EntriesPosted.DESCRIPTOR.full_name
POLICY_PUBLISHED = events_pb2.EarnPolicyPublished.DESCRIPTOR.full_name
_DOCUMENTS = events_pb2.EntriesPosted.DOCUMENTS_FIELD_NUMBER
_ENTRIES = events_pb2.PostedDocument.ENTRIES_FIELD_NUMBER
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def from_micros(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def entries_posted(shard: int, documents: Sequence[Document], post_time: int) -> Event:
    """One event for a whole batch; its first document's id makes it unique within the shard."""
    time = from_micros(post_time)
    head = events_pb2.EntriesPosted(shard=shard, post_time=timestamp(time))
    posted = [wire.field(_DOCUMENTS, _posted_document(document)) for document in documents]
    return Event(
        id=f"{shard:02d}-{documents[0].document_id}",
        type=ENTRIES_POSTED,
        subject=f"shards/{shard}",
        time=time,
        data=head.SerializeToString() + b"".join(posted),
    )


def _posted_document(document: Document) -> bytes:
    """A serialized PostedDocument, its entries last."""
    message = events_pb2.PostedDocument(
        wallet=document.wallet_id,
        document=document.document_id,
        type=ledger_pb2.EntryType.ValueType(document.type._value_),
        business_time_micros=document.business_time,
        store=document.store,
        amount_minor=document.amount,
        currency_code=document.currency,
        tier_base_points=document.tier_base,
        visits=document.visits,
    )
    if document.original_id:
        message.original_document = document.original_id
        message.original_business_time_micros = document.original_time
        message.tier_base_points_before = document.tier_base_before
    entries = [
        _posted_entry(entry.ordinal, entry.kind._value_, entry.points, entry.rule)
        for entry in document.entries
    ]
    return message.SerializeToString() + b"".join(entries)


# Many baskets earn the same few points by the same rule.
@lru_cache(maxsize=16_384)
def _posted_entry(ordinal: int, kind: int, points: int, rule: str) -> bytes:
    """An entry as a field of its PostedDocument."""
    message = events_pb2.PostedEntry(
        ordinal=ordinal, kind=point_of_sale_pb2.PointKind.ValueType(kind), points=points, rule=rule
    )
    return wire.field(_ENTRIES, message.SerializeToString())


def announced_documents(data: bytes) -> list[AnnouncedDocument]:
    """What an EntriesPosted tells, in its order. Refuses: ValueError."""
    try:
        message = events_pb2.EntriesPosted.FromString(data)
    except DecodeError as error:
        raise ValueError(str(error)) from error
    return [
        AnnouncedDocument(
            posted.document,
            posted.wallet,
            posted.type,
            posted.business_time_micros,
            posted.store,
            posted.amount_minor,
            posted.original_document,
            posted.currency_code,
            tuple(
                AnnouncedEntry(entry.ordinal, entry.kind, entry.points, entry.rule)
                for entry in posted.entries
            ),
        )
        for posted in message.documents
    ]


def wallet_attached(wallet_id: int, member_id: str, now: datetime) -> Event:
    member = f"members/{member_id}"
    message = events_pb2.WalletAttached(wallet=wallet_id, member=member)
    return Event(
        id=uuid.uuid4().hex,
        type=message.DESCRIPTOR.full_name,
        subject=member,
        time=now,
        data=message.SerializeToString(),
    )


def policy_published(policy: Policy) -> Event:
    message = events_pb2.EarnPolicyPublished(version=policy.version)
    message.effective_time.FromMicroseconds(policy.effective_time)
    return Event(
        id=f"policy-{policy.version}",
        type=message.DESCRIPTOR.full_name,
        subject="earnPolicies",
        time=from_micros(policy.publish_time),
        data=message.SerializeToString(),
    )
