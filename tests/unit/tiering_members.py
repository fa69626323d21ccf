"""Members' histories, written by hand or drawn by chance, as the engine's columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date

import numpy as np

from services.tiering.domain.columns import (
    NEVER,
    Assignments,
    Changes,
    GrantKind,
    MemberDays,
    MemberStates,
)


@dataclass(frozen=True)
class Row:
    points: int = 0
    spend_minor: int = 0
    visits: int = 0
    bases: tuple[int, ...] = ()


@dataclass(frozen=True)
class Grant:
    kind: GrantKind
    name: str
    from_day: int
    end_day: int = NEVER


@dataclass(frozen=True)
class Person:
    enrolled: int
    rows: Mapping[int, Row] = field(default_factory=dict)
    grants: Sequence[Grant] = ()


def only_giving(person: Person) -> Person:
    """The same person, of whom no day takes away."""
    rows = {
        on: replace(
            row, points=abs(row.points), spend_minor=abs(row.spend_minor), visits=abs(row.visits)
        )
        for on, row in person.rows.items()
    }
    return replace(person, rows=rows)


def day(text: str) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def member_days(people: Sequence[Person], first: int = -(2**31), last: int = NEVER) -> MemberDays:
    rows = [
        (member, on, person.rows[on])
        for member, person in enumerate(people)
        for on in sorted(person.rows)
        if first <= on <= last
    ]
    return MemberDays(
        member=np.array([member for member, _, _ in rows], np.int32),
        day=np.array([on for _, on, _ in rows], np.int32),
        points=np.array([row.points for _, _, row in rows], np.int64),
        spend_minor=np.array([row.spend_minor for _, _, row in rows], np.int64),
        visits=np.array([row.visits for _, _, row in rows], np.int64),
        base_offsets=np.cumsum([0, *(len(row.bases) for _, _, row in rows)]).astype(np.int64),
        bases=np.array([base for _, _, row in rows for base in row.bases], np.int64),
    )


def assignments(people: Sequence[Person]) -> Assignments:
    grants = [(member, grant) for member, person in enumerate(people) for grant in person.grants]
    names = tuple(sorted({grant.name for _, grant in grants}))
    return Assignments(
        member=np.array([member for member, _ in grants], np.int32),
        kind=np.array([grant.kind for _, grant in grants], np.int8),
        name=np.array([names.index(grant.name) for _, grant in grants], np.int32),
        from_day=np.array([grant.from_day for _, grant in grants], np.int32),
        end_day=np.array([grant.end_day for _, grant in grants], np.int32),
        names=names,
    )


def enrolled(people: Sequence[Person]) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.array([person.enrolled for person in people], np.int32)


def some(states: MemberStates, members: Sequence[int]) -> MemberStates:
    return MemberStates(*(getattr(states, f.name)[list(members)] for f in fields(states)))


def replaced(states: MemberStates, members: Sequence[int], by: MemberStates) -> MemberStates:
    """The states with those of some members exchanged."""
    columns = {f.name: getattr(states, f.name).copy() for f in fields(states)}
    for name, column in columns.items():
        column[list(members)] = getattr(by, name)
    return MemberStates(**columns)


def listed(states: MemberStates) -> list[dict[str, int]]:
    columns = {f.name: getattr(states, f.name).tolist() for f in fields(states)}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def renumbered(changes: Changes, members: Sequence[int]) -> Changes:
    """Changes of some members with the numbers these have among all."""
    return replace(changes, member=np.array(members, np.int32)[changes.member])


def change_rows(changes: Changes) -> list[tuple[int, ...]]:
    """(day, member, old, new, cause, until, points, spend, visits) of each change."""
    columns = [getattr(changes, f.name).tolist() for f in fields(changes)]
    return [tuple(row) for row in zip(*columns, strict=True)]
