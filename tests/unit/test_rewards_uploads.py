"""Uploads of codes: every line is accounted for."""

from uuid import UUID

from services.rewards.domain.uploads import Chunk, Outcome, outcome, sort_lines

UPLOAD = UUID("00000000-0000-4000-8000-000000000001")


def chunk(*lines: str, first_line: int = 1) -> Chunk:
    return Chunk("cinema", UPLOAD, first_line, lines)


def test_lines_are_loaded_repeated_or_bad() -> None:
    lines = sort_lines(chunk("AAAA", "bbbb", "aa-aa", "x", "cccc ", first_line=11))
    assert lines.codes == {"AAAA": "AAAA", "BBBB": "bbbb", "CCCC": "cccc"}
    assert outcome(lines, {"AAAA", "BBBB", "CCCC"}) == Outcome(3, 1, 1, (13,), (14,))


def test_codes_that_were_there_before_are_duplicates() -> None:
    lines = sort_lines(chunk("AAAA", "BBBB", "AAAA"))
    assert outcome(lines, {"BBBB"}) == Outcome(1, 2, 0, (1, 3), ())


def test_first_hundred_lines_are_told_and_all_are_counted() -> None:
    found = outcome(sort_lines(chunk(*["x"] * 150, *["AAAA"] * 151)), {"AAAA"})
    assert (found.loaded, found.duplicates, found.bad) == (1, 150, 150)
    assert found.bad_lines == tuple(range(1, 101))
    assert found.duplicate_lines == tuple(range(152, 252))


def test_fingerprint_tells_other_codes_and_another_pool_apart() -> None:
    prints = {
        chunk("AAAA", "BBBB").fingerprint,
        chunk("AAAA").fingerprint,
        chunk("AAAABBBB").fingerprint,
        Chunk("theatre", UPLOAD, 1, ("AAAA", "BBBB")).fingerprint,
    }
    assert len(prints) == 4
