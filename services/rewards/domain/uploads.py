"""Uploads of codes: a file comes in chunks, and of each line it is said what became of it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from uuid import UUID

from services.rewards.domain.codes import is_uploadable, normalised

FINGERPRINT_BYTES = 16
LINES_TOLD_MAX = 100


@dataclass(frozen=True, slots=True)
class Chunk:
    """Lines of a file; first_line is the number of the first of them, counted from 1."""

    pool: str
    upload_id: UUID
    first_line: int
    codes: Sequence[str]

    @property
    def fingerprint(self) -> bytes:
        asked = "\n".join([self.pool, *self.codes])
        return blake2b(asked.encode(), digest_size=FINGERPRINT_BYTES).digest()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a chunk, with the numbers of the first lines that were not loaded."""

    loaded: int
    duplicates: int
    bad: int
    duplicate_lines: tuple[int, ...]
    bad_lines: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sorted:
    """A chunk's codes by what tells them apart, each with the line that had it first."""

    codes: Mapping[str, str]
    lines: Mapping[str, int]
    repeated_lines: Sequence[int]
    bad_lines: Sequence[int]


def sort_lines(chunk: Chunk) -> Sorted:
    """What may be loaded of a chunk, and what may not."""
    codes: dict[str, str] = {}
    lines: dict[str, int] = {}
    repeated: list[int] = []
    bad: list[int] = []
    for number, line in enumerate(chunk.codes, chunk.first_line):
        code = line.strip()
        key = normalised(code)
        if not is_uploadable(code):
            bad.append(number)
        elif key in codes:
            repeated.append(number)
        else:
            codes[key] = code
            lines[key] = number
    return Sorted(codes, lines, repeated, bad)


def outcome(lines: Sorted, loaded: Collection[str]) -> Outcome:
    """What is answered when of all codes these were loaded, and the others were there before."""
    known = [number for key, number in lines.lines.items() if key not in loaded]
    duplicates = sorted([*known, *lines.repeated_lines])
    return Outcome(
        loaded=len(loaded),
        duplicates=len(duplicates),
        bad=len(lines.bad_lines),
        duplicate_lines=tuple(duplicates[:LINES_TOLD_MAX]),
        bad_lines=tuple(lines.bad_lines[:LINES_TOLD_MAX]),
    )
