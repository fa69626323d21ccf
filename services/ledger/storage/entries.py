"""Entries as they lie in their document's row, and what accounts gave as it lies in a batch's."""

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec

from services.ledger.domain.documents import Account, Entry
from services.ledger.domain.policy import PointKind
from services.plumbing.binary_copy import (
    INT2,
    INT4,
    INT4_ARRAY,
    INT8,
    TEXT,
    int_array,
    record_array,
    repeated_text,
)

# The entries of a journal's row j as one text, which is far cheaper than a row each.
ENTRIES = "array_to_json(j.entries)::text"

_type = struct.Struct("!i").pack
# An entry is its length, what stands before its points, these, what stands before the basis, this,
# and what many have in common.
_AMOUNTS = struct.Struct("!i12sq8sq")
BEFORE_POINTS = struct.pack("!iii", 7, INT8, 8)
BEFORE_BASIS = struct.pack("!ii", INT8, 8)
AMOUNTS_BYTES = _AMOUNTS.size - 4
_SHARED = struct.Struct("!iiiiihiih")
_MOVEMENT = struct.Struct("!iiiihiihiiq")
MOVEMENT_BYTES = _MOVEMENT.size - 4


def written(entries: Sequence[Entry]) -> bytes:
    """Entries as a value of their document's row. The place of each is its ordinal."""
    pack = _AMOUNTS.pack
    parts = []
    for e in entries:
        shared = _shared(e.policy_version, e.kind._value_, e.account._value_, e.rule, e.lines)
        size = AMOUNTS_BYTES + len(shared)
        parts.append(pack(size, BEFORE_POINTS, e.points, BEFORE_BASIS, e.basis))
        parts.append(shared)
    return record_array(len(entries), parts)


@lru_cache(maxsize=65_536)
def _shared(
    policy_version: int, kind: int, account: int, rule: str, lines: tuple[int, ...]
) -> bytes:
    numbers = _SHARED.pack(INT4, 4, policy_version, INT2, 2, kind, INT2, 2, account)
    return b"".join(
        (numbers, _type(TEXT), repeated_text(rule), _type(INT4_ARRAY), int_array(lines))
    )


def movements_written(sums: Mapping[tuple[int, int], int]) -> bytes:
    """Points by (account, kind) as a value of their batch's row."""
    return record_array(
        len(sums),
        [
            _MOVEMENT.pack(MOVEMENT_BYTES, 3, INT2, 2, account, INT2, 2, kind, INT8, 8, points)
            for (account, kind), points in sorted(sums.items())
        ],
    )


class _Fields(msgspec.Struct, frozen=True, gc=False):
    points: int
    basis: int
    policy_version: int
    kind: PointKind
    account: Account
    rule: str
    lines: tuple[int, ...]


_fields_from_json = msgspec.json.Decoder(list[_Fields]).decode


def read(text: str) -> list[Entry]:
    """Entries out of ENTRIES. Their rules' titles are not kept: see with_titles."""
    return [
        Entry(ordinal, e.kind, e.account, e.points, e.rule, e.policy_version, e.lines, e.basis)
        for ordinal, e in enumerate(_fields_from_json(text), 1)
    ]
