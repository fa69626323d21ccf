"""Rewards, their versions, and which was in force when."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from services.plumbing.prepared import Row
from services.rewards.domain.refusals import RewardNotFound, RewardVersionNotFound
from services.rewards.domain.rewards import (
    Definition,
    Offer,
    Reward,
    State,
    StockSettings,
    Version,
    decode_definition,
    decode_stock,
    encode,
)

VERSION = (
    "reward_versions.reward_id, reward_versions.version, definition::text, creator,"
    " reward_versions.create_time, publisher, publish_time"
)
REWARDS = (
    f"SELECT {VERSION}, state, revision, published_version, stock::text FROM rewards"
    " JOIN reward_versions ON reward_versions.reward_id = rewards.reward_id"
    " AND reward_versions.version = latest_version"
)

# The versions of the rewards in $3 that were in force at any time since $4; a row without one where
# there was none.
OFFERS_SINCE = (
    "SELECT rewards.reward_id, publications.version, definition::text AS definition,"
    " stock::text AS stock, end_time, publications.id AS publication"
    " FROM rewards LEFT JOIN publications ON publications.reward_id = rewards.reward_id"
    " AND (end_time IS NULL OR end_time > $4) LEFT JOIN reward_versions"
    " ON reward_versions.reward_id = publications.reward_id"
    " AND reward_versions.version = publications.version WHERE rewards.reward_id = ANY($3)"
)


@dataclass(frozen=True, slots=True)
class Creation:
    """What a reward begins with, and the request that asked for it."""

    reward_id: str
    definition: Definition
    stock: StockSettings
    request_id: UUID
    fingerprint: bytes


def add_reward(connection: Connection, creation: Creation, *, creator: str, now: datetime) -> bool:
    """A new reward with its first version; False where its name or its request is known already."""
    added = connection.exec_driver_sql(
        "INSERT INTO rewards (reward_id, state, latest_version, stock, request_id, fingerprint,"
        " create_time) VALUES (%s, 'draft', 1, %s::json, %s::uuid, %s, %s) ON CONFLICT DO NOTHING",
        (
            creation.reward_id,
            encode(creation.stock),
            str(creation.request_id),
            creation.fingerprint,
            now,
        ),
    )
    if added.rowcount:
        _add_version(connection, creation.reward_id, 1, creation.definition, creator, now)
    return bool(added.rowcount)


def created_by(connection: Connection, request_id: UUID) -> tuple[str, bytes] | None:
    """The reward made under a request_id, and the fingerprint of what was asked."""
    row = connection.exec_driver_sql(
        "SELECT reward_id, fingerprint FROM rewards WHERE request_id = %s::uuid",
        (str(request_id),),
    ).one_or_none()
    return (row[0], bytes(row[1])) if row else None


def add_version(
    connection: Connection, reward: Reward, definition: Definition, *, creator: str, now: datetime
) -> None:
    """The next version of a reward that is locked."""
    version = reward.latest.version + 1
    _add_version(connection, reward.reward_id, version, definition, creator, now)
    connection.exec_driver_sql(
        "UPDATE rewards SET latest_version = %s, revision = revision + 1 WHERE reward_id = %s",
        (version, reward.reward_id),
    )


def _add_version(
    connection: Connection,
    reward_id: str,
    version: int,
    definition: Definition,
    creator: str,
    now: datetime,
) -> None:
    connection.exec_driver_sql(
        "INSERT INTO reward_versions (reward_id, version, definition, creator, create_time)"
        " VALUES (%s, %s, %s::json, %s, %s)",
        (reward_id, version, encode(definition), creator, now),
    )


def publish(connection: Connection, version: Version, *, publisher: str, now: datetime) -> None:
    """Let a version of a reward that is locked take over."""
    end_publication(connection, version.reward_id, now=now)
    connection.exec_driver_sql(
        "INSERT INTO publications (reward_id, version, start_time) VALUES (%s, %s, %s)",
        (version.reward_id, version.version, now),
    )
    connection.exec_driver_sql(
        "UPDATE reward_versions SET publisher = %s, publish_time = %s"
        " WHERE reward_id = %s AND version = %s",
        (publisher, now, version.reward_id, version.version),
    )
    connection.exec_driver_sql(
        "UPDATE rewards SET state = 'published', published_version = %s, revision = revision + 1"
        " WHERE reward_id = %s",
        (version.version, version.reward_id),
    )


def end(connection: Connection, reward_id: str, *, now: datetime) -> None:
    """Take a reward that is locked out of the catalogue."""
    end_publication(connection, reward_id, now=now)
    connection.exec_driver_sql(
        "UPDATE rewards SET state = 'ended', published_version = NULL, revision = revision + 1"
        " WHERE reward_id = %s",
        (reward_id,),
    )


def end_publication(connection: Connection, reward_id: str, *, now: datetime) -> None:
    connection.exec_driver_sql(
        "UPDATE publications SET end_time = greatest(start_time, %s)"
        " WHERE reward_id = %s AND end_time IS NULL",
        (now, reward_id),
    )


def set_stock(connection: Connection, reward_id: str, stock: StockSettings) -> None:
    """Refuses: RewardNotFound."""
    changed = connection.exec_driver_sql(
        "UPDATE rewards SET stock = %s::json WHERE reward_id = %s", (encode(stock), reward_id)
    )
    if not changed.rowcount:
        raise RewardNotFound


def lock(connection: Connection, reward_id: str) -> Reward:
    """A reward that nobody else changes until the transaction ends. Refuses: RewardNotFound."""
    connection.exec_driver_sql(
        "SELECT FROM rewards WHERE reward_id = %s FOR NO KEY UPDATE", (reward_id,)
    )
    return read(connection, reward_id)


def read(connection: Connection, reward_id: str) -> Reward:
    """Refuses: RewardNotFound."""
    row = connection.exec_driver_sql(
        f"{REWARDS} WHERE rewards.reward_id = %s", (reward_id,)
    ).one_or_none()
    if row is None:
        raise RewardNotFound
    return _reward(row)


def rewards_after(connection: Connection, reward_id: str, *, limit: int) -> list[Reward]:
    """The next rewards by name, whatever their state."""
    rows = connection.exec_driver_sql(
        f"{REWARDS} WHERE rewards.reward_id > %s ORDER BY rewards.reward_id LIMIT %s",
        (reward_id, limit),
    )
    return [_reward(row) for row in rows]


def read_version(connection: Connection, reward_id: str, version: int) -> Version:
    """Refuses: RewardVersionNotFound."""
    row = connection.exec_driver_sql(
        f"SELECT {VERSION} FROM reward_versions WHERE reward_id = %s AND version = %s",
        (reward_id, version),
    ).one_or_none()
    if row is None:
        raise RewardVersionNotFound(version)
    return _version(row)


def versions_before(
    connection: Connection, reward_id: str, version: int, *, limit: int
) -> list[Version]:
    """The versions below one, newest first."""
    rows = connection.exec_driver_sql(
        f"SELECT {VERSION} FROM reward_versions WHERE reward_id = %s AND version < %s"
        " ORDER BY version DESC LIMIT %s",
        (reward_id, version, limit),
    )
    return [_version(row) for row in rows]


def offers_after(connection: Connection, reward_id: str, *, limit: int) -> list[Offer]:
    """The next rewards by name that are published, each in the version in force."""
    rows = connection.exec_driver_sql(
        "SELECT rewards.reward_id, version, definition::text, stock::text, NULL FROM rewards"
        " JOIN reward_versions ON reward_versions.reward_id = rewards.reward_id"
        " AND version = published_version"
        " WHERE rewards.reward_id > %s ORDER BY rewards.reward_id LIMIT %s",
        (reward_id, limit),
    )
    return [_offer(row) for row in rows]


def read_offers(rows: Iterable[Row]) -> dict[str, list[Offer]]:
    """What the rows of OFFERS_SINCE, the newest publication first, say of rewards.

    The first offer of each is the one in force now, where its end_time is None. A reward that is
    not there is not in the answer.
    """
    found: dict[str, list[Offer]] = {}
    for row in rows:
        offers = found.setdefault(row[0], [])
        if row[1] is not None:
            offers.append(_offer(row))
    return found


def _version(row: Any) -> Version:
    return Version(row[0], row[1], decode_definition(row[2]), *row[3:7])


def _reward(row: Any) -> Reward:
    return Reward(
        reward_id=row[0],
        state=State(row[7]),
        revision=row[8],
        latest=_version(row),
        published_version=row[9],
        stock=decode_stock(row[10]),
    )


def _offer(row: Any) -> Offer:
    return Offer(row[0], row[1], decode_definition(row[2]), decode_stock(row[3]), row[4])
