"""Rule sets put into force."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, Engine

from services.plumbing.database import transaction
from services.tiering.domain.calendar import to_date
from services.tiering.domain.checking import refuse_problems
from services.tiering.domain.preview import ranks
from services.tiering.domain.refusals import (
    DemotesTooMany,
    EffectiveDayClosed,
    EffectiveDayTaken,
    ReplayAfterEffect,
    RuleSetNotFound,
)
from services.tiering.storage import days, grants, members, rule_sets
from services.tiering.storage.rule_sets import Name, Version
from services.tiering.usecases import evaluate
from services.tiering.usecases.announcing import Announcer
from services.tiering.usecases.close import take_over
from services.tiering.usecases.drafts import require_draft

SHARE_DIGITS = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Publication:
    """What is to come into force, when, by whom and why; what share of demoted is agreed to."""

    name: Name
    etag: str
    effective_day: int
    # None: since the group's rules began.
    replay_from_day: int | None
    publisher: str
    reason: str
    confirmed_demoted_share: Decimal


def publish_rule_set(
    database: Engine,
    publication: Publication,
    *,
    demoted_share_max: Decimal,
    announcer: Announcer,
    now: datetime,
) -> Version:
    """Refuses: RuleSetNotFound, NotADraft, StaleEtag, RuleSetInvalid, EffectiveDayClosed,
    EffectiveDayTaken, ReplayAfterEffect, DemotesTooMany. A refusal leaves nothing behind.
    """
    name = publication.name
    with transaction(database) as connection:
        # No day is closed and no other rule set published meanwhile.
        days.lock_closing(connection)
        group_id = rule_sets.lock_group(connection, name.group)
        if group_id is None:
            raise RuleSetNotFound
        draft = rule_sets.read(connection, name)
        if _was_published_so(draft, publication):
            return draft
        require_draft(draft, publication.etag)
        refuse_problems(draft.rules, assigned=grants.assigned_tiers(connection, group_id))
        _publish(connection, draft, publication, now)
        published = rule_sets.read(connection, name)
        announcer.rule_set_published(connection, published, now)
        share_max = max(demoted_share_max, publication.confirmed_demoted_share)
        last_day = days.last_closed(connection)
        _refuse_many_demoted(connection, published, last_day, share_max)
        if last_day is None or published.first_day == last_day + 1:
            take_over(connection, published, published.first_day - 1, announcer=announcer, now=now)
        return rule_sets.read(connection, name)


def _was_published_so(found: Version, publication: Publication) -> bool:
    return (
        found.publish_time is not None
        and found.effective_day == publication.effective_day
        and publication.replay_from_day in (None, found.replay_from_day)
    )


def _publish(
    connection: Connection, draft: Version, publication: Publication, now: datetime
) -> None:
    effective_day = publication.effective_day
    last_day = days.last_closed(connection)
    if last_day is not None and effective_day <= last_day:
        raise EffectiveDayClosed(to_date(last_day).isoformat())
    latest = rule_sets.latest(connection, draft.group_id)
    if latest is not None and latest.first_day >= effective_day:
        raise EffectiveDayTaken(to_date(latest.first_day).isoformat())
    replay_from_day = publication.replay_from_day
    if replay_from_day is None:
        first = rule_sets.first_effective_day(connection, draft.group_id)
        replay_from_day = effective_day if first is None else first
    if replay_from_day > effective_day:
        raise ReplayAfterEffect
    rule_sets.publish(
        connection,
        draft.group_id,
        draft.version,
        effective_day=effective_day,
        replay_from_day=replay_from_day,
        publisher=publication.publisher,
        reason=publication.reason,
        now=now,
    )


def _refuse_many_demoted(
    connection: Connection, version: Version, last_day: int | None, share_max: Decimal
) -> None:
    """Refuses: DemotesTooMany, by what is known on the day closed last."""
    total = members.count(connection)
    if last_day is None or share_max >= 1 or not total:
        return
    previous = rule_sets.in_force(connection, version.group_id, last_day)
    if previous is None:
        return
    standing = dict(zip(codes_of(previous), ranks(version.rules, previous.rules), strict=True))
    demoted = 0
    for number in members.slices(connection):
        evaluation = evaluate.replay_slice(connection, version, number, last_day, previous=previous)
        new_tiers = evaluation.advanced.states.tier.tolist()
        demoted += sum(
            # A tier that those rules know no more is below all of theirs.
            new < standing.get(old, 0)
            for old, new in zip(evaluation.old_codes, new_tiers, strict=True)
        )
    if Decimal(demoted) > share_max * total:
        # Rounded up, so that the share that is named is enough.
        share = (Decimal(demoted) / total).quantize(SHARE_DIGITS, rounding="ROUND_CEILING")
        raise DemotesTooMany(
            share=f"{share.normalize():f}", share_max=f"{share_max:f}", members=demoted
        )


def codes_of(version: Version) -> list[str]:
    return [tier.code for tier in version.rules.tiers]
