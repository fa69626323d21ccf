"""What people grant to members: tiers by hand, invitations, audiences."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from uuid import UUID

import numpy as np
from sqlalchemy import Connection, Engine

from services.plumbing.database import transaction
from services.tiering.domain.calendar import to_date
from services.tiering.domain.columns import NEVER, Cause, GrantKind
from services.tiering.domain.refusals import (
    GroupNotFound,
    LastDayPast,
    RequestIdReused,
    TierNotFound,
)
from services.tiering.storage import changed_days, days, grants, members, merges, rule_sets
from services.tiering.storage.grants import Grant, NewGrant
from services.tiering.storage.rule_sets import Version
from services.tiering.usecases import evaluate
from services.tiering.usecases.announcing import Announcer
from services.tiering.usecases.opening import open_day

FINGERPRINT_BYTES = 16
MICROS_PER_DAY = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """A tier to assign by hand, or to be invited to. last_day is None where it has no end."""

    member_id: UUID
    group: str
    tier: str
    kind: GrantKind
    reason: str
    actor: str
    last_day: int | None = None

    def fingerprint(self) -> bytes:
        return blake2b(repr(self).encode(), digest_size=FINGERPRINT_BYTES).digest()


def assign_tier(
    database: Engine, wanted: Wanted, *, request_id: UUID, announcer: Announcer, now: datetime
) -> Grant:
    """Refuses: GroupNotFound, TierNotFound, LastDayPast, MemberMerged, RequestIdReused."""
    with transaction(database) as connection:
        days.lock_closing(connection)
        earlier = grants.granted_by(connection, request_id)
        if earlier is not None:
            if earlier[1] != wanted.fingerprint():
                raise RequestIdReused
            return grants.read(connection, earlier[0])
        version, first_day = _in_force(connection, wanted, now)
        if wanted.last_day is not None and wanted.last_day < first_day:
            raise LastDayPast(to_date(first_day).isoformat())
        member = members.number_of(connection, wanted.member_id, heard_day=first_day)
        merges.refuse_merged(connection, member)
        granted = NewGrant(
            version.group_id,
            member,
            wanted.kind,
            wanted.tier,
            first_day,
            wanted.reason,
            wanted.actor,
            end_day=NEVER if wanted.last_day is None else wanted.last_day + 1,
            request_id=request_id,
            fingerprint=wanted.fingerprint(),
        )
        grant_id = grants.add(connection, granted, now)
        _settle(connection, version, member, first_day, announcer, now)
        return grants.read(connection, grant_id)


def revoke_assignment(
    database: Engine,
    grant_id: int,
    *,
    reason: str,
    revoker: str,
    announcer: Announcer,
    now: datetime,
) -> Grant:
    """Refuses: AssignmentNotFound."""
    with transaction(database) as connection:
        days.lock_closing(connection)
        grant = grants.read(connection, grant_id)
        if grant.revoke_time is not None:
            return grant
        first_day = open_day(connection, grant.group_id, now)
        grants.revoke(
            connection, grant_id, end_day=first_day, revoker=revoker, reason=reason, now=now
        )
        version = rule_sets.in_force(connection, grant.group_id, first_day)
        if version is not None:
            _settle(connection, version, grant.member, first_day, announcer, now)
        return grants.read(connection, grant_id)


def invite_member(database: Engine, wanted: Wanted, *, now: datetime) -> int:
    """The first day of the invitation. Refuses: GroupNotFound, TierNotFound, MemberMerged."""
    with transaction(database) as connection:
        days.lock_closing(connection)
        version, first_day = _in_force(connection, wanted, now)
        member = members.number_of(connection, wanted.member_id, heard_day=first_day)
        merges.refuse_merged(connection, member)
        invited = grants.in_force(
            connection,
            GrantKind.INVITATION,
            wanted.tier,
            group_id=version.group_id,
            day=first_day,
        )
        if member not in invited:
            granted = NewGrant(
                version.group_id,
                member,
                GrantKind.INVITATION,
                wanted.tier,
                first_day,
                wanted.reason,
                wanted.actor,
            )
            grants.add(connection, granted, now)
            changed_days.touch(connection, [member], first_day)
        return first_day


def set_audience(
    database: Engine,
    audience: str,
    *,
    added: Collection[UUID],
    removed: Collection[UUID],
    actor: str,
    now: datetime,
) -> int:
    """How many members are in an audience after some came and some went.

    A merged one is in it by their own name, and it counts for whom they are now.
    """
    with transaction(database) as connection:
        days.lock_closing(connection)
        first_day = open_day(connection, None, now)
        coming = members.numbers_of(connection, added, heard_day=first_day)
        leaving = set(members.numbers_of(connection, removed, heard_day=first_day)) - set(coming)
        present = grants.in_force(
            connection, GrantKind.AUDIENCE, audience, group_id=None, day=first_day
        )
        arrived = [member for member in coming if member not in present]
        for member in arrived:
            granted = NewGrant(None, member, GrantKind.AUDIENCE, audience, first_day, "", actor)
            grants.add(connection, granted, now)
        left = [member for member in leaving if member in present]
        for member in left:
            grants.revoke(
                connection,
                present[member],
                end_day=first_day,
                revoker=actor,
                reason="",
                now=now,
            )
        changed_days.touch(connection, [*arrived, *left], first_day)
        return len(present) + len(arrived) - len(left)


def _in_force(connection: Connection, wanted: Wanted, now: datetime) -> tuple[Version, int]:
    """The rules in force on the open day, and that day. Refuses: GroupNotFound, TierNotFound."""
    group_id = rule_sets.group_id(connection, wanted.group)
    if group_id is None:
        raise GroupNotFound(wanted.group)
    first_day = open_day(connection, group_id, now)
    version = rule_sets.in_force(connection, group_id, first_day)
    if version is None:
        raise GroupNotFound(wanted.group)
    if version.rules.index(wanted.tier) < 0:
        raise TierNotFound(wanted.tier)
    return version, first_day


def _settle(
    connection: Connection,
    version: Version,
    member: int,
    first_day: int,
    announcer: Announcer,
    now: datetime,
) -> None:
    """Bring into effect what was granted to a member or revoked: now, where the day is today."""
    numbers = np.array([merges.root_of(connection, member)], np.int32)
    begin = first_day * MICROS_PER_DAY
    now_micros = int(now.timestamp() * 1_000_000)
    evaluate.keep(
        connection,
        version,
        evaluate.recompute(connection, version, numbers, first_day - 1),
        effective_day=first_day,
        effective_micros=now_micros if now_micros // MICROS_PER_DAY == first_day else begin,
        cause=Cause.RECOMPUTED,
        announcer=announcer,
        now=now,
    )
