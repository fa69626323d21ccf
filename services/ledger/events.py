"""The ledger's events in the words of the contract."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from google.protobuf.message import DecodeError
from loyalty.ledger.v1 import events_pb2

from services.ledger.domain.audit import AnnouncedDocument, AnnouncedEntry
from services.ledger.domain.documents import Document
from services.ledger.domain.policy import Policy
from services.plumbing.outbox import Event

ENTRIES_POSTED = events_pb2.EntriesPosted.DESCRIPTOR.full_name
POLICY_PUBLISHED = events_pb2.EarnPolicyPublished.DESCRIPTOR.full_name
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def from_micros(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def entries_posted(shard: int, documents: Sequence[Document], post_time: int) -> Event:
    """One event for a whole batch; its first document's id makes it unique within the shard."""
    message = events_pb2.EntriesPosted(shard=shard)
    message.post_time.FromMicroseconds(post_time)
    posted = message.documents
    for document in documents:
        added = posted.add(
            wallet=document.wallet_id,
            document=document.document_id,
            type=document.type._value_,
            business_time_micros=document.business_time,
            store=document.store,
            amount_minor=document.amount,
            original_document=document.original_id,
            currency_code=document.currency,
            original_business_time_micros=document.original_time,
            tier_base_points=document.tier_base,
            tier_base_points_before=document.tier_base_before,
            visits=document.visits,
        )
        for entry in document.entries:
            added.entries.add(
                ordinal=entry.ordinal,
                kind=entry.kind._value_,
                points=entry.points,
                rule=entry.rule,
            )
    return Event(
        id=f"{shard:02d}-{documents[0].document_id}",
        type=message.DESCRIPTOR.full_name,
        subject=f"shards/{shard}",
        time=from_micros(post_time),
        data=message.SerializeToString(),
    )


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
