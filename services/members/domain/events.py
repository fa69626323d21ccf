"""What happened to a member, for others to know. None carries a name, an e-mail or a phone."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.members.domain.consents import Consent


@dataclass(frozen=True, slots=True)
class MemberEnrolled:
    enrol_time: datetime


@dataclass(frozen=True, slots=True)
class CardIssued:
    token: str


@dataclass(frozen=True, slots=True)
class CardReplaced:
    old_token: str
    new_token: str


@dataclass(frozen=True, slots=True)
class CardBlocked:
    token: str


@dataclass(frozen=True, slots=True)
class ConsentChanged:
    consent: Consent


@dataclass(frozen=True, slots=True)
class MemberBlocked:
    block_time: datetime


@dataclass(frozen=True, slots=True)
class MemberUnblocked:
    unblock_time: datetime


@dataclass(frozen=True, slots=True)
class MemberErased:
    erase_time: datetime


@dataclass(frozen=True, slots=True)
class MembersMerged:
    """Happened to the target."""

    merge_id: UUID
    source_id: UUID
    merge_time: datetime


@dataclass(frozen=True, slots=True)
class MergeUndone:
    """Happened to the target."""

    merge_id: UUID
    source_id: UUID
    undo_time: datetime


Event = (
    MemberEnrolled
    | CardIssued
    | CardReplaced
    | CardBlocked
    | ConsentChanged
    | MemberBlocked
    | MemberUnblocked
    | MemberErased
    | MembersMerged
    | MergeUndone
)
