"""How many of each quota are taken, counted in rows that the database guards."""

from collections.abc import Collection, Iterable, Mapping
from datetime import date
from uuid import UUID

from sqlalchemy import Connection

from services.plumbing.database import array, text_array
from services.plumbing.prepared import Session, Statement
from services.rewards.domain.offering import StockTaken
from services.rewards.domain.periods import first_day
from services.rewards.domain.quotas import (
    ALWAYS,
    MEMBER_KINDS,
    PERIODS,
    STOCK,
    QuotaKey,
    QuotaKind,
    Taking,
)
from services.rewards.domain.rewards import Period

KEY = "reward_id, kind, holder, first_day"
GIVEN = "unnest(%s::text[], %s::text[], %s::text[], %s::date[], %s::bigint[])"
TYPES = "text[], text[], text[], date[], bigint[]"
LOCK = Statement(
    "lock_quotas",
    TYPES,
    f"INSERT INTO quotas ({KEY}, taken, allowed) SELECT {KEY}, 0, allowed"
    f" FROM unnest($1, $2, $3, $4, $5) AS given ({KEY}, allowed)"
    # In key order: two batches that want the same must not wait for each other.
    f" ORDER BY {KEY}"
    f" ON CONFLICT ({KEY}) DO UPDATE SET allowed = greatest(quotas.taken, excluded.allowed)"
    f" RETURNING {KEY}, taken",
)
TAKE = Statement(
    "take_of_quotas",
    f"{TYPES}, bigint[]",
    f"INSERT INTO quotas ({KEY}, taken, allowed) SELECT {KEY}, pieces, allowed"
    f" FROM unnest($1, $2, $3, $4, $5, $6) AS given ({KEY}, pieces, allowed)"
    # In key order, as above.
    f" WHERE pieces <= allowed ORDER BY {KEY}"
    f" ON CONFLICT ({KEY}) DO UPDATE"
    " SET taken = quotas.taken + excluded.taken, allowed = excluded.allowed"
    " WHERE quotas.taken + excluded.taken <= excluded.allowed"
    f" RETURNING {KEY}",
)
ADD = Statement(
    "add_to_quotas",
    TYPES,
    "UPDATE quotas SET taken = quotas.taken + given.pieces"
    f" FROM unnest($1, $2, $3, $4, $5) AS given ({KEY}, pieces)"
    " WHERE quotas.reward_id = given.reward_id AND quotas.kind = given.kind"
    " AND quotas.holder = given.holder AND quotas.first_day = given.first_day",
)


def take(session: Session, wanted: Mapping[QuotaKey, Taking]) -> bool:
    """Take all that is wanted, locked until the transaction ends; nothing where any is lacking."""
    if not wanted:
        return True
    columns = _columns((key, taking.pieces) for key, taking in wanted.items())
    rows = TAKE.run(session, *columns, array(taking.most for taking in wanted.values()))
    if len(rows) == len(wanted):
        return True
    got = [QuotaKey(row[0], QuotaKind(row[1]), row[2], row[3]) for row in rows]
    add(session, {key: -wanted[key].pieces for key in got})
    return False


def lock(session: Session, allowed: Mapping[QuotaKey, int]) -> dict[QuotaKey, int]:
    """What is taken of quotas, which nobody else changes until the transaction ends.

    A limit that was lowered below what is taken stays at what is taken: none is left.
    """
    if not allowed:
        return {}
    rows = LOCK.run(session, *_columns(allowed.items()))
    return {QuotaKey(row[0], QuotaKind(row[1]), row[2], row[3]): row[4] for row in rows}


def add(session: Session, pieces: Mapping[QuotaKey, int]) -> None:
    """Take pieces of quotas that are locked; give back where they are negative."""
    if pieces:
        ADD.run_later(session, *_columns(pieces.items()))


def give_back(connection: Connection, keys: Collection[QuotaKey]) -> None:
    """One piece of each. Its limit is not looked at: giving back needs none."""
    if keys:
        columns = _columns((key, -1) for key in keys)
        connection.exec_driver_sql(
            f"SELECT FROM quotas WHERE ({KEY}) IN (SELECT {KEY} FROM {GIVEN} AS given"
            # In key order, as those who take lock them.
            f" ({KEY}, pieces)) ORDER BY {KEY} FOR UPDATE",
            columns,
        )
        add(connection, dict.fromkeys(keys, -1))


def forget(connection: Connection, before: Mapping[QuotaKind, date], *, limit: int) -> int:
    """Drop quotas of periods that began before a day, by their kind. Returns how many."""
    return connection.exec_driver_sql(
        f"DELETE FROM quotas WHERE ({KEY}) IN (SELECT {KEY} FROM quotas JOIN"
        " unnest(%s::text[], %s::date[]) AS old (kind, before) USING (kind)"
        " WHERE first_day < old.before AND first_day > %s LIMIT %s"
        " FOR UPDATE OF quotas SKIP LOCKED)",
        (text_array(before), array(before.values()), ALWAYS, limit),
    ).rowcount


def taken_of_stock(
    connection: Connection, reward_ids: Collection[str], *, day: date, store: str | None = None
) -> dict[str, StockTaken]:
    """What is taken of each reward's stock on a day and in all, at one store or at every one."""
    rows = connection.exec_driver_sql(
        f"SELECT {KEY}, taken FROM quotas WHERE reward_id = ANY(%s::text[])"
        " AND kind = ANY(%s::text[]) AND first_day = ANY(%s::date[])"
        " AND (kind <> 'store' OR %s OR holder = %s)",
        (
            text_array(reward_ids),
            array(STOCK),
            array((ALWAYS, day)),
            store is None,
            store or "",
        ),
    )
    totals: dict[str, int] = {}
    today: dict[str, int] = {}
    stores: dict[str, dict[str, int]] = {}
    for reward_id, kind, holder, _, taken in rows:
        match QuotaKind(kind):
            case QuotaKind.TOTAL:
                totals[reward_id] = taken
            case QuotaKind.DAY:
                today[reward_id] = taken
            case _:
                stores.setdefault(reward_id, {})[holder] = taken
    return {
        each: StockTaken(totals.get(each, 0), today.get(each, 0), stores.get(each, {}))
        for each in reward_ids
    }


def taken_by_members(
    connection: Connection,
    member_ids: Collection[UUID],
    reward_ids: Collection[str],
    *,
    day: date,
) -> dict[str, dict[Period, int]]:
    """What members have taken together of rewards in each period that a day lies in, where it is
    counted.
    """
    wanted = [
        (QuotaKey(reward_id, kind, str(member_id), first_day(period, day)), 0)
        for member_id in member_ids
        for reward_id in reward_ids
        for period, kind in MEMBER_KINDS.items()
    ]
    rows = connection.exec_driver_sql(
        "SELECT reward_id, kind, sum(taken)::bigint"
        f" FROM quotas JOIN {GIVEN} AS given ({KEY}, pieces) USING ({KEY})"
        " GROUP BY reward_id, kind",
        _columns(wanted),
    )
    found: dict[str, dict[Period, int]] = {reward_id: {} for reward_id in reward_ids}
    for reward_id, kind, taken in rows:
        found[reward_id][PERIODS[QuotaKind(kind)]] = taken
    return found


def _columns(counted: Iterable[tuple[QuotaKey, int]]) -> tuple[str, ...]:
    given = list(counted)
    return (
        text_array(key.reward_id for key, _ in given),
        array(key.kind for key, _ in given),
        text_array(key.holder for key, _ in given),
        array(key.first_day for key, _ in given),
        array(count for _, count in given),
    )
