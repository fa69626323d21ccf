"""What a member agreed to, and which of all they said is in force."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Consent:
    """A yes or a no for one purpose on one channel; time is when the member said so."""

    purpose: str
    channel: str
    granted: bool
    time: datetime
    # How it was said and where: the proof.
    method: str
    source: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """A consent as it stands in the record; id counts what was recorded."""

    id: int
    consent: Consent


def in_force(said: Iterable[Consent]) -> tuple[Consent, ...]:
    """The last said of each purpose and channel; of two said at once, the one recorded later."""
    last: dict[tuple[str, str], Consent] = {}
    for consent in said:
        subject = consent.purpose, consent.channel
        if subject not in last or consent.time >= last[subject].time:
            last[subject] = consent
    return tuple(last[subject] for subject in sorted(last))


def answer(consents: Iterable[Consent], purpose: str, channel: str) -> bool | None:
    """Yes, no, or None where nothing was said."""
    for consent in consents:
        if (consent.purpose, consent.channel) == (purpose, channel):
            return consent.granted
    return None
