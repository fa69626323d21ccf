"""What other services tell, applied in the transaction that notes it was heard."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import numpy as np
from sqlalchemy import Connection

from services.tiering.domain.columns import Cause, Int32s
from services.tiering.domain.rules import Evaluation
from services.tiering.storage import activity, days, members, merges, rule_sets
from services.tiering.storage.activity import Movement
from services.tiering.usecases import evaluate
from services.tiering.usecases.announcing import Announcer
from services.tiering.usecases.opening import open_day

MICROS_PER_DAY = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Heard:
    """What the documents of one event did; at_micros is when the last of them took place."""

    movements: Sequence[Movement]
    at_micros: int


def apply_movements(
    connection: Connection, heard: Sequence[Heard], *, announcer: Announcer, now: datetime
) -> None:
    """Count what documents did for the members whose wallets they name, each in its day.

    What is of a wallet without an owner is kept, and counts when it gets one. Where tiers begin
    when they are reached, that is at each event's own time.
    """
    movements = activity.columns_of([movement for each in heard for movement in each.movements])
    at_event = rule_sets.any_at_event(connection)
    if at_event:
        # What is decided here and what the close of a day decides come one after the other.
        days.lock_closing(connection)
    merges.lock_out(connection)
    members.lock_owners(connection)
    owners = members.owners(connection, np.unique(movements.wallet))
    if not (len(owners.wallets) and at_event):
        activity.add(connection, movements, owners)
        return
    for each in heard:
        movements = activity.columns_of(each.movements)
        activity.add(connection, movements, owners)
        concerned = np.unique(owners.of(movements.wallet)[0])
        numbers = concerned[concerned != members.NOBODY]
        for group in rule_sets.groups(connection):
            _rise(connection, group, numbers, each.at_micros, announcer, now)


def _rise(
    connection: Connection,
    group: int,
    numbers: Int32s,
    at_micros: int,
    announcer: Announcer,
    now: datetime,
) -> None:
    """Tell whose tier is higher already, as far as the open days are known; the close keeps it."""
    first_day = open_day(connection, group, now)
    version = rule_sets.in_force(connection, group, first_day)
    if version is None or version.rules.evaluation is not Evaluation.AT_EVENT:
        return
    today = at_micros // MICROS_PER_DAY
    found = evaluate.close_days(
        connection, version, numbers, first_day, to_day=max(today, first_day)
    )
    changes = [
        change
        for change in evaluate.changes_of(version, found, effective_day=today, cause=Cause.REACHED)
        if version.rules.index(change.new_tier) > version.rules.index(change.old_tier)
    ]
    if changes:
        days.add_changes(connection, group, changes)
        ids = members.ids_of(connection, [change.member for change in changes])
        announcer.tiers_changed(
            connection, version, changes, ids, effective_micros=at_micros, now=now
        )


@dataclass(frozen=True, slots=True)
class Attached:
    """A wallet belongs to a member from a day on."""

    wallet: int
    member_id: UUID
    day: int


def attach_wallets(connection: Connection, attached: Sequence[Attached]) -> None:
    """Let wallets' movements, past and to come, count for members; the first owner stays."""
    merges.lock_out(connection)
    members.lock_owning(connection)
    first = {each.wallet: each for each in reversed(attached)}
    days = {each.member_id: each.day for each in reversed(attached)}
    numbers = members.numbered(connection, days)
    owning = {wallet: numbers[each.member_id] for wallet, each in first.items()}
    waiting = activity.waiting_among(connection, members.own(connection, owning))
    wallets = np.array(waiting, np.int64)
    member_of, origin_of = members.owners(connection, wallets).of(wallets)
    for claim in zip(waiting, member_of.tolist(), origin_of.tolist(), strict=True):
        activity.claim_waiting(connection, *claim)


@dataclass(frozen=True, slots=True)
class Enrolled:
    member_id: UUID
    day: int


def enrol_members(connection: Connection, enrolled: Sequence[Enrolled]) -> None:
    members.enrol(connection, {each.member_id: each.day for each in enrolled})
