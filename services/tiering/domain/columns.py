"""Members by the slice, as columns: what the engine reads and what it answers."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Booleans = NDArray[np.bool_]
Int8s = NDArray[np.int8]
Int32s = NDArray[np.int32]
Int64s = NDArray[np.int64]

# The end of what has none, and the day of what never was; both far outside any calendar.
NEVER = 2**31 - 1
LONG_AGO = -(2**31)


class Cause(enum.IntEnum):
    """Why a tier changed, or why its end did."""

    # The sums met what attains the tier.
    REACHED = 1
    # The sums met what retains it: the tier is the same, its end is later.
    RENEWED = 2
    # The term and the grace ended without that.
    LAPSED = 3
    # Somebody assigned it, or the assignment ended or was revoked.
    ASSIGNED = 4
    ASSIGNMENT_ENDED = 5
    # The sums of all time met it, or, after a return, no longer do.
    LIFETIME = 6
    LIFETIME_LOST = 7
    # What closes had counted was corrected, by a late sale or a merge, and the member recomputed.
    RECOMPUTED = 8
    # Another rule set came into force.
    PUBLISHED = 9


class GrantKind(enum.IntEnum):
    """What was granted: at least a tier, exactly a tier, leave to reach it, or an audience."""

    AT_LEAST = 1
    EXACTLY = 2
    INVITATION = 3
    AUDIENCE = 4


@dataclass(frozen=True, slots=True)
class MemberDays:
    """Daily aggregates, sorted by (member, day), each pair once.

    member is an index into the slice; day counts from 1970-01-01. The baskets of row i are
    bases[base_offsets[i]:base_offsets[i + 1]]: the redeemable points of each that a multiplier
    applies to. base_offsets has one number more than there are rows.
    """

    member: Int32s
    day: Int32s
    points: Int64s
    spend_minor: Int64s
    visits: Int64s
    base_offsets: Int64s
    bases: Int64s


@dataclass(frozen=True, slots=True)
class MemberStates:
    """What stands at the beginning of a day, one number a member; index i is member i.

    tier is the tier in effect, held from since until the day before until. earned is the one
    the member's own sums gave, with its term; grants and lifetime sums may lift tier above it.
    reserve is a lower tier the sums kept meanwhile, to fall back on until reserve_until; 0 and
    NEVER if there is none.
    Rows before counted_from count no more; the carried amounts count as earned on carried_day.
    The lifetime sums are of all rows before the day; of the measures no lifetime tier asks for
    they are not kept. wake_day is the first day whose close may
    change something without a new row or grant, NEVER if there is none.
    """

    enrolled: Int32s
    tier: Int8s
    since: Int32s
    until: Int32s
    earned: Int8s
    earned_since: Int32s
    earned_until: Int32s
    reserve: Int8s
    reserve_until: Int32s
    counted_from: Int32s
    carried_day: Int32s
    carried_points: Int64s
    carried_spend_minor: Int64s
    carried_visits: Int64s
    lifetime_points: Int64s
    lifetime_spend_minor: Int64s
    lifetime_visits: Int64s
    wake_day: Int32s


@dataclass(frozen=True, slots=True)
class Assignments:
    """Manual assignments, invitations and audiences, in any order.

    name[i] is an index into names: the code of a tier, or the name of an audience. Each is in
    force on the days from from_day to the day before end_day (NEVER: without end). Names the
    rule set does not know have no effect under it. An assignment is in effect on exactly its
    days; an invitation and an audience count at the closes of their days.
    """

    member: Int32s
    kind: Int8s
    name: Int32s
    from_day: Int32s
    end_day: Int32s
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened, in the order of (day, member). old and new are tiers of the rule set.

    day is the first day the change is in effect; until is the new end. The sums are those of the
    window at the close that saw it. old equals new for a term that was renewed.
    """

    day: Int32s
    member: Int32s
    old: Int8s
    new: Int8s
    cause: Int8s
    until: Int32s
    points: Int64s
    spend_minor: Int64s
    visits: Int64s


def new_states(enrolled: Int32s) -> MemberStates:
    """Members as they begin: in the first tier since they enrolled, with nothing behind them."""
    count = len(enrolled)

    def small(value: int) -> Int8s:
        return np.full(count, value, np.int8)

    def days(value: int) -> Int32s:
        return np.full(count, value, np.int32)

    def zeros() -> Int64s:
        return np.zeros(count, np.int64)

    return MemberStates(
        enrolled=np.asarray(enrolled, np.int32),
        tier=small(0),
        since=np.array(enrolled, np.int32),
        until=days(NEVER),
        earned=small(0),
        earned_since=np.array(enrolled, np.int32),
        earned_until=days(NEVER),
        reserve=small(0),
        reserve_until=days(NEVER),
        counted_from=days(LONG_AGO),
        carried_day=days(LONG_AGO),
        carried_points=zeros(),
        carried_spend_minor=zeros(),
        carried_visits=zeros(),
        lifetime_points=zeros(),
        lifetime_spend_minor=zeros(),
        lifetime_visits=zeros(),
        wake_day=days(LONG_AGO),
    )


def no_assignments() -> Assignments:
    nothing = np.zeros(0, np.int32)
    return Assignments(nothing, np.zeros(0, np.int8), nothing, nothing, nothing)


def in_order(pieces: Sequence[Changes]) -> Changes:
    """Changes of several closes as one, by day and member, otherwise in the order they came."""
    nothing = Changes(
        *(np.zeros(0, np.int32), np.zeros(0, np.int32)),
        *(np.zeros(0, np.int8), np.zeros(0, np.int8), np.zeros(0, np.int8)),
        np.zeros(0, np.int32),
        *(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64)),
    )
    columns = {
        field.name: np.concatenate([getattr(piece, field.name) for piece in (nothing, *pieces)])
        for field in fields(Changes)
    }
    order = np.lexsort((columns["member"], columns["day"]))
    return Changes(**{name: column[order] for name, column in columns.items()})
