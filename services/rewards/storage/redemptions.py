"""The journal of redemptions: what each is of, and where its saga stands."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Connection

from services.plumbing.database import array, text_array
from services.plumbing.prepared import Session, Statement
from services.rewards.domain.quotas import QuotaKey, QuotaKind
from services.rewards.domain.refusals import RedemptionNotFound
from services.rewards.domain.rewards import Channel, Offer, decode_definition, decode_stock
from services.rewards.domain.saga import Bought, Redemption, Step

# How long nobody else sees to a redemption that somebody has begun to see to. All leases are
# measured by the database's clock, the one that all servers share.
LEASE_SECONDS = 10
# How much longer it is left to who asked for it, and may ask again, before anybody else does.
STANDING_SECONDS = 3
COLUMNS = (
    "redemption_id, request_id, fingerprint, member_id, reward_id, reward_version, points,"
    " money_minor, currency_code, channel, store, create_time, step, refusal, hold, burn, taken,"
    " voucher_id, complete_time, cancel_time, cancel_reason, business_time"
)
LEASE = f"clock_timestamp() + interval '{LEASE_SECONDS} seconds'"
LEASE_OF_STEP = (
    f"CASE WHEN given.step IN ('completed', 'refused', 'cancelled') THEN NULL ELSE {LEASE} END"
)
ADD = Statement(
    "add_redemptions",
    "timestamptz, uuid[], uuid[], bytea[], uuid[], text[], integer[], bigint[], bigint[], text[],"
    " text[], text[], text[], text[], timestamptz[], timestamptz[]",
    "INSERT INTO redemptions (redemption_id, request_id, fingerprint, member_id, reward_id,"
    " reward_version, points, money_minor, currency_code, channel, store, step, refusal,"
    " complete_time, business_time, create_time, update_time, lease_time)"
    " SELECT redemption_id, request_id, fingerprint, member_id, reward_id, reward_version,"
    " points, money_minor, currency_code, channel, store, step, nullif(refusal, '')::jsonb,"
    f" complete_time, business_time, $1, $1, {LEASE_OF_STEP}"
    " FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
    " AS given (redemption_id, request_id, fingerprint, member_id, reward_id, reward_version,"
    " points, money_minor, currency_code, channel, store, step, refusal, complete_time,"
    " business_time)"
    # In order: two that put the same requests on record must not wait for each other.
    " ORDER BY request_id ON CONFLICT DO NOTHING RETURNING redemption_id",
)
RECORD = Statement(
    "record_redemptions",
    "timestamptz, uuid[], text[], text[], text[], text[], text[], uuid[], timestamptz[],"
    " timestamptz[], text[]",
    "UPDATE redemptions SET step = given.step, refusal = nullif(given.refusal, '')::jsonb,"
    " hold = given.hold, burn = given.burn, taken = given.taken::jsonb,"
    " voucher_id = given.voucher_id, complete_time = given.complete_time,"
    " cancel_time = given.cancel_time, cancel_reason = given.cancel_reason, update_time = $1,"
    f" lease_time = {LEASE_OF_STEP}"
    " FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
    " AS given (redemption_id, step, refusal, hold, burn, taken, voucher_id, complete_time,"
    " cancel_time, cancel_reason) WHERE redemptions.redemption_id = given.redemption_id",
)
LOCK = Statement(
    "lock_redemptions",
    "uuid[]",
    f"SELECT {COLUMNS} FROM redemptions WHERE redemption_id = ANY($1)"
    " ORDER BY redemption_id FOR UPDATE",
)
LOCK_ONLY = Statement(
    "lock_redemptions_only",
    "uuid[]",
    "SELECT FROM redemptions WHERE redemption_id = ANY($1) ORDER BY redemption_id FOR UPDATE",
)
# Looked at by a statement of its own once they are locked: an erasure waits for who has them, and
# they for an erasure.
TO_ADVANCE = Statement(
    "redemptions_to_advance",
    "uuid[]",
    "SELECT redemption_id, step, redemptions.reward_id, reward_version, definition::text,"
    " stock::text, own.erase_time IS NOT NULL, own.root_id,"
    " ARRAY(SELECT other.member_id FROM members AS other"
    " WHERE other.root_id = coalesce(own.root_id, redemptions.member_id)"
    " AND other.member_id <> redemptions.member_id) FROM redemptions"
    " LEFT JOIN reward_versions ON reward_versions.reward_id = redemptions.reward_id"
    " AND reward_versions.version = redemptions.reward_version"
    " LEFT JOIN rewards ON rewards.reward_id = reward_versions.reward_id"
    " LEFT JOIN members AS own ON own.member_id = redemptions.member_id"
    " WHERE redemption_id = ANY($1)",
)


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose a redemption is: whether they are erased, and with whom else they are one, merged."""

    erased: bool
    others: frozenset[UUID]


@dataclass(frozen=True, slots=True)
class Locked:
    """Where a redemption stands, and the version it is of with that reward's stock; None where it
    is of none, as it was refused at once.
    """

    step: Step
    offer: Offer | None
    holder: Holder


def add(session: Session, begun: Sequence[Redemption], now: datetime) -> set[UUID]:
    """Put redemptions on record, but for those whose request_id is there already.

    Returns the ids of those that were put there.
    """
    rows = ADD.run(
        session,
        now,
        array(each.id for each in begun),
        array(each.request_id for each in begun),
        text_array("\\x" + each.fingerprint.hex() for each in begun),
        array(each.member_id for each in begun),
        text_array(each.bought.reward_id for each in begun),
        array(each.bought.version for each in begun),
        array(each.bought.points for each in begun),
        array(each.bought.money_minor for each in begun),
        text_array(each.bought.currency_code for each in begun),
        array(each.channel for each in begun),
        text_array(each.store for each in begun),
        array(each.step for each in begun),
        text_array(each.refusal for each in begun),
        text_array(_optional(each.complete_time) for each in begun),
        text_array(each.business_time.isoformat() for each in begun),
    )
    return {row[0] for row in rows}


def record(session: Session, changed: Sequence[Redemption], now: datetime) -> None:
    """Write where locked redemptions stand now; who does it has the lease of those under way."""
    RECORD.run_later(
        session,
        now,
        array(each.id for each in changed),
        array(each.step for each in changed),
        text_array(each.refusal for each in changed),
        text_array(each.hold for each in changed),
        text_array(each.burn for each in changed),
        text_array(_taken_text(each.taken) for each in changed),
        text_array(_optional(each.voucher_id) for each in changed),
        text_array(_optional(each.complete_time) for each in changed),
        text_array(_optional(each.cancel_time) for each in changed),
        text_array(each.cancel_reason for each in changed),
    )


def of_requests(connection: Connection, request_ids: Collection[UUID]) -> dict[UUID, Redemption]:
    """By their request_ids, those that are on record."""
    found = _read(connection, "request_id = ANY(%s::uuid[])", (array(request_ids),))
    return {each.request_id: each for each in found}


def lock(connection: Connection, ids: Collection[UUID]) -> dict[UUID, Redemption]:
    """Redemptions that nobody else changes until the transaction ends.

    Before anything that they take is locked, so that nobody waits for each other in a ring.
    """
    return {row[0]: _redemption(row) for row in LOCK.run(connection, array(ids))}


def lock_to_advance(session: Session, ids: Collection[UUID]) -> dict[UUID, Locked]:
    """The same for who knows all that they began with."""
    LOCK_ONLY.run_later(session, array(ids))
    return {
        row[0]: Locked(
            Step(row[1]),
            _offer(*row[2:6]),
            Holder(row[6], frozenset(row[8] if row[7] is None else (row[7], *row[8]))),
        )
        for row in TO_ADVANCE.run(session, array(ids))
    }


def lock_under_way(connection: Connection, member_id: UUID) -> None:
    """Let no redemption of a member go a step further until the transaction ends."""
    connection.exec_driver_sql(
        "SELECT FROM redemptions WHERE member_id = %s::uuid AND lease_time IS NOT NULL"
        " ORDER BY redemption_id FOR UPDATE",
        (str(member_id),),
    )


def by_id(connection: Connection, redemption_id: UUID) -> Redemption:
    """Refuses: RedemptionNotFound."""
    found = _read(connection, "redemption_id = %s::uuid", (str(redemption_id),))
    if not found:
        raise RedemptionNotFound
    return found[0]


def of_member(connection: Connection, member_id: UUID, redemption_id: UUID) -> Redemption:
    """Refuses: RedemptionNotFound, also where it is another member's."""
    found = by_id(connection, redemption_id)
    if found.member_id != member_id:
        raise RedemptionNotFound
    return found


def before(
    connection: Connection,
    member_ids: Collection[UUID],
    place: tuple[datetime, UUID] | None,
    *,
    limit: int,
) -> list[Redemption]:
    """Redemptions of any of these members, newest first, from a place in that order on."""
    condition, parameters = "member_id = ANY(%s::uuid[])", [array(member_ids)]
    if place is not None:
        condition += " AND (create_time, redemption_id) < (%s, %s::uuid)"
        parameters += [place[0].isoformat(), str(place[1])]
    condition += f" ORDER BY create_time DESC, redemption_id DESC LIMIT {limit}"
    return _read(connection, condition, tuple(parameters))


def forget_words(connection: Connection, member_id: UUID) -> None:
    """Forget why a member's redemptions were cancelled: people wrote of a person there."""
    connection.exec_driver_sql(
        "UPDATE redemptions SET cancel_reason = ''"
        " WHERE member_id = %s::uuid AND cancel_reason <> ''",
        (str(member_id),),
    )


def take_over_standing(connection: Connection, *, limit: int) -> list[Redemption]:
    """Redemptions under way to which nobody sees any more; their lease is the caller's now."""
    return _take_over(
        connection,
        "SELECT redemption_id FROM redemptions WHERE lease_time <"
        f" clock_timestamp() - interval '{STANDING_SECONDS} seconds'"
        " ORDER BY lease_time LIMIT %s FOR UPDATE SKIP LOCKED",
        limit,
    )


def take_over(connection: Connection, redemption_id: UUID) -> Redemption | None:
    """The same for one, as soon as nobody does; None while somebody sees to it."""
    found = _take_over(
        connection,
        "SELECT redemption_id FROM redemptions WHERE redemption_id = %s::uuid"
        " AND lease_time < clock_timestamp() FOR UPDATE SKIP LOCKED",
        str(redemption_id),
    )
    return found[0] if found else None


def oldest_seconds(connection: Connection) -> float:
    """How long ago the redemption was begun that has been under way longest; zero for none."""
    seconds: float = connection.exec_driver_sql(
        "SELECT coalesce(extract(epoch FROM clock_timestamp() - min(create_time)), 0)::float"
        " FROM redemptions WHERE lease_time IS NOT NULL"
    ).scalar_one()
    return seconds


def let_go(connection: Connection, redemption_id: UUID) -> None:
    """Let somebody else see to a redemption that is under way."""
    connection.exec_driver_sql(
        "UPDATE redemptions SET lease_time = clock_timestamp()"
        " WHERE redemption_id = %s::uuid AND lease_time IS NOT NULL",
        (str(redemption_id),),
    )


def _take_over(connection: Connection, standing: str, parameter: object) -> list[Redemption]:
    rows = connection.exec_driver_sql(
        f"UPDATE redemptions SET lease_time = {LEASE} WHERE redemption_id IN ({standing})"
        f" RETURNING {COLUMNS}",
        (parameter,),
    )
    return [_redemption(row) for row in rows]


def _read(
    connection: Connection, condition: str, parameters: tuple[object, ...]
) -> list[Redemption]:
    rows = connection.exec_driver_sql(
        # The condition is one of those above; what a caller sent is in the parameters.
        f"SELECT {COLUMNS} FROM redemptions WHERE {condition}",
        parameters,
    )
    return [_redemption(row) for row in rows]


def _redemption(row: Any) -> Redemption:
    return Redemption(
        id=row[0],
        request_id=row[1],
        fingerprint=bytes(row[2]),
        member_id=row[3],
        bought=Bought(row[4], row[5], row[6], row[7], row[8]),
        channel=Channel(row[9]),
        store=row[10],
        create_time=row[11],
        step=Step(row[12]),
        refusal="" if row[13] is None else json.dumps(row[13]),
        hold=row[14],
        burn=row[15],
        taken=_taken(row[16]),
        voucher_id=row[17],
        complete_time=row[18],
        cancel_time=row[19],
        cancel_reason=row[20],
        business_time=row[21],
    )


def _offer(reward_id: str, version: int, definition: str | None, stock: str | None) -> Offer | None:
    if definition is None or stock is None:
        return None
    return Offer(reward_id, version, decode_definition(definition), decode_stock(stock))


def _taken(stored: Iterable[Sequence[str]]) -> tuple[QuotaKey, ...]:
    return tuple(
        QuotaKey(reward_id, QuotaKind(kind), holder, date.fromisoformat(first_day))
        for reward_id, kind, holder, first_day in stored
    )


def _taken_text(taken: Sequence[QuotaKey]) -> str:
    return msgspec.json.encode(taken).decode()


def _optional(value: object) -> str | None:
    return None if value is None else str(value)
