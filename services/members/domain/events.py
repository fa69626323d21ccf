"""What happened to a member, for others to know. None carries a name, an e-mail or a phone."""

from dataclasses import dataclass
from datetime import datetime

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


Event = MemberEnrolled | CardIssued | CardReplaced | CardBlocked | ConsentChanged
