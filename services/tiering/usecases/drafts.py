"""Rule sets before they are in force: drafted, changed, read, withdrawn."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from uuid import UUID

from sqlalchemy import Engine

from services.plumbing.database import transaction
from services.plumbing.errors import FieldViolation
from services.tiering.domain import rules as rules_domain
from services.tiering.domain.checking import check
from services.tiering.domain.refusals import (
    NotADraft,
    RequestIdReused,
    RuleSetInForce,
    RuleSetNotFound,
    StaleEtag,
)
from services.tiering.domain.rules import RuleSet
from services.tiering.storage import days, rule_sets
from services.tiering.storage.rule_sets import Name, Version
from services.tiering.usecases.opening import open_day

FINGERPRINT_BYTES = 16


def create_draft(
    database: Engine,
    group: str,
    rules: RuleSet,
    *,
    request_id: UUID,
    creator: str,
    now: datetime,
) -> Version:
    """Refuses: RequestIdReused."""
    asked = group.encode() + b"\n" + rules_domain.encode(rules)
    fingerprint = blake2b(asked, digest_size=FINGERPRINT_BYTES).digest()
    with transaction(database) as connection:
        # The lock on the group makes one who asks twice at once wait for themselves.
        group_id = rule_sets.begin_group(connection, group)
        earlier = rule_sets.drafted_by(connection, request_id)
        if earlier is not None:
            if earlier[1] != fingerprint:
                raise RequestIdReused
            return rule_sets.read(connection, earlier[0])
        version = rule_sets.add_draft(
            connection,
            group_id,
            rules,
            request_id=request_id,
            fingerprint=fingerprint,
            creator=creator,
            now=now,
        )
        return rule_sets.read(connection, Name(group, version))


def update_draft(database: Engine, name: Name, rules: RuleSet, *, etag: str) -> Version:
    """Refuses: RuleSetNotFound, NotADraft, StaleEtag."""
    with transaction(database) as connection:
        group_id = rule_sets.lock_group(connection, name.group)
        if group_id is None:
            raise RuleSetNotFound
        draft = rule_sets.read(connection, name)
        require_draft(draft, etag)
        if draft.rules != rules:
            rule_sets.replace_rules(connection, group_id, name.version, rules)
        return rule_sets.read(connection, name)


def require_draft(draft: Version, etag: str) -> None:
    """Refuses: NotADraft, StaleEtag unless etag is empty."""
    if draft.state != "draft":
        raise NotADraft(draft.state)
    if etag and etag != draft.etag:
        raise StaleEtag


def get_rule_set(database: Engine, name: Name) -> Version:
    """Refuses: RuleSetNotFound."""
    with transaction(database) as connection:
        return rule_sets.read(connection, name)


def list_rule_sets(database: Engine, group: str, *, below: int, limit: int) -> list[Version]:
    """Versions below one, newest first."""
    with transaction(database) as connection:
        return rule_sets.before(connection, group, below, limit=limit)


def retire_rule_set(
    database: Engine, name: Name, *, reason: str, retirer: str, now: datetime
) -> Version:
    """Refuses: RuleSetNotFound, RuleSetInForce."""
    with transaction(database) as connection:
        days.lock_closing(connection)
        group_id = rule_sets.lock_group(connection, name.group)
        if group_id is None:
            raise RuleSetNotFound
        found = rule_sets.read(connection, name)
        if found.state == "retired":
            return found
        if found.state == "published":
            in_force = rule_sets.in_force(connection, group_id, open_day(connection, group_id, now))
            if in_force is not None and in_force.first_day >= found.first_day:
                raise RuleSetInForce
        rule_sets.retire(
            connection, group_id, name.version, retirer=retirer, reason=reason, now=now
        )
        return rule_sets.read(connection, name)


def problems(rules: RuleSet) -> Sequence[FieldViolation]:
    """What would keep a draft from being published."""
    return check(rules)
