"""Groups and the versions of their rules."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from services.plumbing.prepared import Statement
from services.tiering.domain import rules as rules_domain
from services.tiering.domain.refusals import RuleSetNotFound
from services.tiering.domain.rules import RuleSet

COLUMNS = (
    "tier_groups.name, version, state, revision, rules::text, creator, create_time, effective_day,"
    " replay_from_day, publisher, publish_time, publish_reason, retirer, retire_time,"
    " retire_reason, group_id"
)
ANY_EVALUATED = Statement(
    "any_evaluated",
    "text",
    "SELECT EXISTS (SELECT FROM rule_sets WHERE state = 'published' AND rules->>'evaluation' = $1)",
)
FROM = "FROM rule_sets JOIN tier_groups ON tier_groups.id = group_id"


@dataclass(frozen=True, slots=True)
class Name:
    """A rule set's name, or the one a group's next would have."""

    group: str
    version: int


@dataclass(frozen=True, slots=True)
class Version:
    """A rule set and what became of it. Days are counted from 1970-01-01."""

    group: str
    version: int
    state: str
    revision: int
    rules: RuleSet
    creator: str
    create_time: datetime
    effective_day: int | None
    replay_from_day: int | None
    publisher: str | None
    publish_time: datetime | None
    publish_reason: str | None
    retirer: str | None
    retire_time: datetime | None
    retire_reason: str | None
    group_id: int

    @property
    def etag(self) -> str:
        return f"{self.version}-{self.revision}"

    @property
    def first_day(self) -> int:
        """The first day in force. Only of what was published."""
        if self.effective_day is None:
            raise ValueError("never published")
        return self.effective_day

    @property
    def replay_from(self) -> int:
        """The first day whose close counts. Only of what was published."""
        if self.replay_from_day is None:
            raise ValueError("never published")
        return self.replay_from_day


def lock_group(connection: Connection, group: str) -> int | None:
    """A group's id; nobody else changes its rule sets until the connection's transaction ends."""
    found: int | None = connection.exec_driver_sql(
        "SELECT id FROM tier_groups WHERE name = %s FOR UPDATE", (group,)
    ).scalar_one_or_none()
    return found


def group_id(connection: Connection, group: str) -> int | None:
    found: int | None = connection.exec_driver_sql(
        "SELECT id FROM tier_groups WHERE name = %s", (group,)
    ).scalar_one_or_none()
    return found


def begin_group(connection: Connection, group: str) -> int:
    """A group's id, and the lock on it; the group is made where there is none."""
    if group_id(connection, group) is None:
        connection.exec_driver_sql(
            "INSERT INTO tier_groups (name) VALUES (%s) ON CONFLICT DO NOTHING", (group,)
        )
    found = lock_group(connection, group)
    if found is None:
        raise LookupError("a group that was just added is not there")
    return found


def groups(connection: Connection) -> list[int]:
    return list(connection.exec_driver_sql("SELECT id FROM tier_groups ORDER BY id").scalars())


def add_draft(
    connection: Connection,
    group: int,
    rules: RuleSet,
    *,
    request_id: UUID,
    fingerprint: bytes,
    creator: str,
    now: datetime,
) -> int:
    """The number of the new version."""
    version: int = connection.exec_driver_sql(
        "INSERT INTO rule_sets (group_id, version, state, rules, request_id, fingerprint, creator,"
        " create_time) SELECT %(group)s, coalesce(max(version), 0) + 1, 'draft', %(rules)s::json,"
        " %(request_id)s::uuid, %(fingerprint)s, %(creator)s, %(now)s"
        " FROM rule_sets WHERE group_id = %(group)s RETURNING version",
        {
            "group": group,
            "rules": rules_domain.encode(rules).decode(),
            "request_id": str(request_id),
            "fingerprint": fingerprint,
            "creator": creator,
            "now": now,
        },
    ).scalar_one()
    return version


def drafted_by(connection: Connection, request_id: UUID) -> tuple[Name, bytes] | None:
    """The draft made under a request_id, and the fingerprint of what was asked."""
    row = connection.exec_driver_sql(
        f"SELECT tier_groups.name, version, fingerprint {FROM} WHERE request_id = %s::uuid",
        (str(request_id),),
    ).one_or_none()
    return (Name(row[0], row[1]), bytes(row[2])) if row else None


def read(connection: Connection, name: Name) -> Version:
    """Refuses: RuleSetNotFound."""
    found = _versions(
        connection,
        "WHERE tier_groups.name = %s AND version = %s",
        (name.group, name.version),
    )
    if not found:
        raise RuleSetNotFound
    return found[0]


def before(connection: Connection, group: str, version: int, *, limit: int) -> list[Version]:
    """The versions below one, newest first."""
    return _versions(
        connection,
        "WHERE tier_groups.name = %s AND version < %s ORDER BY version DESC LIMIT %s",
        (group, version, limit),
    )


def in_force(connection: Connection, group: int, day: int) -> Version | None:
    """By what a group's members are evaluated at the close of a day."""
    found = _versions(
        connection,
        "WHERE group_id = %s AND effective_day <= %s AND publish_time IS NOT NULL"
        # One that was withdrawn before its day never was in force.
        " AND (state = 'published' OR retire_reason IS NULL)"
        " ORDER BY effective_day DESC LIMIT 1",
        (group, day),
    )
    return found[0] if found else None


def any_at_event(connection: Connection) -> bool:
    """Whether any group's rules let a tier begin on the day it is reached."""
    ((found,),) = ANY_EVALUATED.run(connection, "at_event")
    return bool(found)


def latest(connection: Connection, group: int) -> Version | None:
    """The one of a group that comes into force last, of all that are published."""
    found = _versions(
        connection,
        "WHERE group_id = %s AND state = 'published' ORDER BY effective_day DESC LIMIT 1",
        (group,),
    )
    return found[0] if found else None


def first_effective_day(connection: Connection, group: int) -> int | None:
    """The day on which a group's rules began."""
    found: int | None = connection.exec_driver_sql(
        "SELECT min(effective_day) FROM rule_sets WHERE group_id = %s AND publish_time IS NOT NULL"
        " AND (state = 'published' OR retire_reason IS NULL)",
        (group,),
    ).scalar_one()
    return found


def _versions(connection: Connection, clauses: str, values: tuple[object, ...]) -> list[Version]:
    rows = connection.exec_driver_sql(f"SELECT {COLUMNS} {FROM} {clauses}", values)
    return [_version(row) for row in rows]


def _version(row: Any) -> Version:
    values = list(row)
    values[4] = rules_domain.decode(values[4])
    return Version(*values)


def replace_rules(connection: Connection, group: int, version: int, rules: RuleSet) -> None:
    connection.exec_driver_sql(
        "UPDATE rule_sets SET rules = %s::json, revision = revision + 1"
        " WHERE group_id = %s AND version = %s",
        (rules_domain.encode(rules).decode(), group, version),
    )


def publish(
    connection: Connection,
    group: int,
    version: int,
    *,
    effective_day: int,
    replay_from_day: int,
    publisher: str,
    reason: str,
    now: datetime,
) -> None:
    connection.exec_driver_sql(
        "UPDATE rule_sets SET state = 'published', revision = revision + 1, effective_day = %s,"
        " replay_from_day = %s, publisher = %s, publish_time = %s, publish_reason = %s"
        " WHERE group_id = %s AND version = %s",
        (effective_day, replay_from_day, publisher, now, reason, group, version),
    )


def retire(
    connection: Connection, group: int, version: int, *, retirer: str, reason: str, now: datetime
) -> None:
    """Withdraw one that never was in force."""
    connection.exec_driver_sql(
        "UPDATE rule_sets SET state = 'retired', revision = revision + 1, retirer = %s,"
        " retire_time = %s, retire_reason = %s WHERE group_id = %s AND version = %s",
        (retirer, now, reason, group, version),
    )


def retire_before(connection: Connection, group: int, effective_day: int, now: datetime) -> None:
    """Retire those that one in force from a day on takes the place of."""
    connection.exec_driver_sql(
        "UPDATE rule_sets SET state = 'retired', revision = revision + 1, retire_time = %s"
        " WHERE group_id = %s AND state = 'published' AND effective_day < %s",
        (now, group, effective_day),
    )
