"""What a draft would do, beside the rules in force: who moves where, and what it costs.

Everything is a sum over members, so a membership is previewed slice by slice.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

import msgspec
import numpy as np

from services.tiering.domain.columns import (
    Assignments,
    Changes,
    Int8s,
    Int32s,
    Int64s,
    MemberDays,
)
from services.tiering.domain.costs import (
    YEAR_DAYS,
    ExtraPoints,
    tiers_on_rows,
)
from services.tiering.domain.engine import Advanced, replay
from services.tiering.domain.rules import Measure, RuleSet


@dataclass(frozen=True, slots=True)
class Replayed:
    """A rule set, and the day from which members are replayed under it."""

    rule_set: RuleSet
    from_day: int


@dataclass(frozen=True, slots=True)
class PreviewPart:
    """The answer for some members; parts are added up.

    matrix[i, j] counts the members in tier i by the rules in force and in tier j by the draft, on
    the day the draft would come into force. sizes[d, i] counts those enrolled who were in tier i
    on the d-th day of the period, extra[d] the points multipliers gave on it. The pace is the
    extra points of the period's last 365 days, had members been in the tiers they end in.
    """

    members: int
    members_up: int
    members_down: int
    matrix: Int64s
    sizes_in_force: Int64s
    sizes_draft: Int64s
    extra_in_force: Int64s
    extra_draft: Int64s
    pace_in_force: int
    pace_draft: int

    def __add__(self, other: "PreviewPart") -> "PreviewPart":
        return PreviewPart(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        )


@dataclass(frozen=True, slots=True)
class Movers:
    """The members whose tier would be another, and their sums in the draft's window.

    old is a tier of the rules in force and new one of the draft. direction is 1 for up, -1 for
    down, 0 for a tier by another name in the same place.
    """

    member: Int64s
    old: Int8s
    new: Int8s
    direction: Int8s
    points: Int64s
    spend_minor: Int64s
    visits: Int64s


def ranks(draft: RuleSet, in_force: RuleSet) -> list[int]:
    """Where each tier in force stands among the draft's; one the draft lacks, where it stood."""
    found = [draft.index(tier.code) for tier in in_force.tiers]
    return [place if known < 0 else known for place, known in enumerate(found)]


def without_tiers(draft: RuleSet) -> RuleSet:
    """The rules to compare a first draft with: everybody in its first tier."""
    return msgspec.structs.replace(draft, tiers=draft.tiers[:1])


def preview_slice(
    in_force: Replayed,
    draft: Replayed,
    enrolled: Int32s,
    member_days: MemberDays,
    assignments: Assignments,
    *,
    effective_day: int,
) -> tuple[PreviewPart, Movers]:
    """Replay members under both to the day before the draft would come into force.

    The period that is compared begins with the draft's from_day. Rows from the first day that
    rows_needed_to_replay() names of either have to be given.
    """
    days = range(draft.from_day, effective_day)
    sides = [
        replay(
            each.rule_set,
            enrolled,
            member_days,
            assignments,
            from_day=each.from_day,
            to_day=effective_day - 1,
        )
        for each in (in_force, draft)
    ]
    return _compare(
        in_force.rule_set, draft.rule_set, sides[0], sides[1], enrolled, member_days, days
    )


def _compare(
    in_force: RuleSet,
    draft: RuleSet,
    before: Advanced,
    after: Advanced,
    enrolled: Int32s,
    member_days: MemberDays,
    days: range,
) -> tuple[PreviewPart, Movers]:
    old, new = before.states.tier, after.states.tier
    direction = np.sign(new - np.array(ranks(draft, in_force), np.int8)[old])
    matrix = np.zeros((len(in_force.tiers), len(draft.tiers)), np.int64)
    np.add.at(matrix, (old, new), 1)
    multiplied = ExtraPoints(member_days)
    extra_in_force, pace_in_force = _extra(multiplied, in_force, before, member_days, days)
    extra_draft, pace_draft = _extra(multiplied, draft, after, member_days, days)
    part = PreviewPart(
        members=len(enrolled),
        members_up=int((direction > 0).sum()),
        members_down=int((direction < 0).sum()),
        matrix=matrix,
        sizes_in_force=_sizes(in_force, before.changes, enrolled, days),
        sizes_draft=_sizes(draft, after.changes, enrolled, days),
        extra_in_force=extra_in_force,
        extra_draft=extra_draft,
        pace_in_force=pace_in_force,
        pace_draft=pace_draft,
    )
    return part, _movers(in_force, draft, old, after, direction)


def _movers(
    in_force: RuleSet, draft: RuleSet, old: Int8s, after: Advanced, direction: Int8s
) -> Movers:
    same = np.array([draft.index(tier.code) for tier in in_force.tiers], np.int8)
    moved = np.flatnonzero(same[old] != after.states.tier)
    return Movers(
        member=moved,
        old=old[moved],
        new=after.states.tier[moved],
        direction=direction[moved],
        points=after.sums[Measure.POINTS][moved],
        spend_minor=after.sums[Measure.SPEND][moved],
        visits=after.sums[Measure.VISITS][moved],
    )


def _extra(
    multiplied: ExtraPoints,
    rule_set: RuleSet,
    side: Advanced,
    member_days: MemberDays,
    days: range,
) -> tuple[Int64s, int]:
    """The extra points of each day, and those of the last year in the tiers that end it."""
    on_rows = tiers_on_rows(member_days, side.changes, len(side.states.tier))
    nth = member_days.day - days.start
    within = (nth >= 0) & (nth < len(days))
    extra: Int64s = np.zeros(len(days), np.int64)
    np.add.at(extra, nth[within], multiplied.of(rule_set, on_rows)[within])
    last_year = within & (member_days.day >= days.stop - YEAR_DAYS)
    at_end = multiplied.of(rule_set, side.states.tier[member_days.member])
    return extra, int(at_end[last_year].sum())


def _sizes(rule_set: RuleSet, changes: Changes, enrolled: Int32s, days: range) -> Int64s:
    """How many were in each tier on each day; nobody is counted before they enrolled."""
    moves = np.zeros((len(days) + 1, len(rule_set.tiers)), np.int64)
    np.add.at(moves[:, 0], _nth(enrolled, days), 1)
    # What a member reached before enrolling stands on the day they enrol.
    nth = _nth(np.maximum(changes.day, enrolled[changes.member]), days)
    np.add.at(moves, (nth, changes.old), -1)
    np.add.at(moves, (nth, changes.new), 1)
    sizes: Int64s = np.cumsum(moves[:-1], axis=0)
    return sizes


def _nth(given: Int32s, days: range) -> Int32s:
    """Which day of a period; the first for those before it, one too many for those after."""
    return np.clip(given - days.start, 0, len(days))


def encode_part(part: PreviewPart) -> bytes:
    """JSON, for a part to be kept until the others are there."""
    return msgspec.json.encode({f.name: _plain(getattr(part, f.name)) for f in fields(PreviewPart)})


def decode_part(text: bytes | str) -> PreviewPart:
    found: dict[str, Any] = msgspec.json.decode(text)
    arrays = {
        name: np.array(value, np.int64) for name, value in found.items() if isinstance(value, list)
    }
    part = PreviewPart(**(found | arrays))
    # A period without days has rows of no tiers, which JSON cannot say.
    before, after = part.matrix.shape
    return replace(
        part,
        sizes_in_force=part.sizes_in_force.reshape(-1, before),
        sizes_draft=part.sizes_draft.reshape(-1, after),
    )


def _plain(value: int | Int64s) -> object:
    return value if isinstance(value, int) else value.tolist()
