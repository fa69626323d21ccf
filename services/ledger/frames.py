"""What a server and its committers say to each other: commands one way, answers the other."""

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from services.ledger.answers import RecordedSale
from services.ledger.domain.circumstances import Limits
from services.ledger.domain.documents import Command, Document
from services.ledger.domain.refusals import REMEMBERED, RequestIdReused
from services.plumbing.errors import Refused
from services.plumbing.settling import CommitUnknown

_REFUSALS: dict[str, type[Refused]] = REMEMBERED | {RequestIdReused.reason: RequestIdReused}


class Opening(msgspec.Struct, frozen=True):
    """What a committer is told first: its shard and what it decides by."""

    database_url: str
    shard: int
    limits: Limits
    log_level: str


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """What is to be committed together, and whether nothing else is under way."""

    is_alone: bool
    commands: Sequence[Command]


class _Refusal(msgspec.Struct, frozen=True, array_like=True, tag_field="frame", tag="refused"):
    reason: str
    message: str
    metadata: dict[str, str]


class _Unknown(msgspec.Struct, frozen=True, array_like=True, tag_field="frame", tag="unknown"):
    pass


class _Failure(msgspec.Struct, frozen=True, array_like=True, tag_field="frame", tag="failed"):
    """The committer's log says why."""

    kind: str


class CommitterFailed(Exception):  # noqa: N818 — an answer that names what the committer met
    """A command could not be committed, for a reason that is nobody else's to know."""


encode = msgspec.msgpack.Encoder().encode
decode_opening = msgspec.msgpack.Decoder(Opening).decode
decode_batch = msgspec.msgpack.Decoder(Batch).decode
Said: TypeAlias = Document | RecordedSale
_Outcome: TypeAlias = Said | _Refusal | _Unknown | _Failure
_decode_outcomes = msgspec.msgpack.Decoder(list[_Outcome]).decode


def encode_answers(answers: Sequence[Said | Exception]) -> bytes:
    return encode([_outcome(answer) for answer in answers])


def decode_answers(frame: bytes) -> list[Said | Exception]:
    return [
        outcome if isinstance(outcome, Said) else _error(outcome)
        for outcome in _decode_outcomes(frame)
    ]


def _outcome(answer: Said | Exception) -> _Outcome:
    if not isinstance(answer, Exception):
        return answer
    if isinstance(answer, Refused):
        return _Refusal(answer.reason, answer.message, answer.metadata)
    return _Unknown() if isinstance(answer, CommitUnknown) else _Failure(type(answer).__name__)


def _error(outcome: _Refusal | _Unknown | _Failure) -> Exception:
    match outcome:
        case _Refusal(reason, message, metadata):
            return _REFUSALS[reason](message, violations=(), **metadata)
        case _Failure(kind):
            return CommitterFailed(kind)
        case _:
            return CommitUnknown()
