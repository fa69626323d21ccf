"""What marketing does with the catalogue."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from uuid import UUID

from sqlalchemy import Connection, Engine

from services.plumbing.database import transaction
from services.rewards import events
from services.rewards.domain.checking import refuse_gone_by, refuse_problems
from services.rewards.domain.offering import StockTaken
from services.rewards.domain.refusals import RequestIdReused, RewardExists, StaleEtag
from services.rewards.domain.rewards import (
    Definition,
    Reward,
    State,
    StockSettings,
    Version,
    encode,
)
from services.rewards.storage import catalogue, quotas
from services.rewards.storage.catalogue import Creation

FINGERPRINT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Stocked:
    """A reward, and what is taken of its stock: in all, today, and by store."""

    reward: Reward
    taken: StockTaken


def create_reward(
    database: Engine,
    reward_id: str,
    definition: Definition,
    stock: StockSettings,
    *,
    request_id: UUID,
    creator: str,
    now: datetime,
) -> Stocked:
    """Refuses: RewardInvalid, RewardExists, RequestIdReused."""
    refuse_problems(definition)
    asked = "\n".join([reward_id, encode(definition), encode(stock)])
    fingerprint = blake2b(asked.encode(), digest_size=FINGERPRINT_BYTES).digest()
    creation = Creation(reward_id, definition, stock, request_id, fingerprint)
    with transaction(database) as connection:
        if not catalogue.add_reward(connection, creation, creator=creator, now=now):
            earlier = catalogue.created_by(connection, request_id)
            if earlier is None:
                raise RewardExists
            if earlier != (reward_id, fingerprint):
                raise RequestIdReused
        return _stocked(connection, catalogue.read(connection, reward_id), now)


def update_reward(
    database: Engine,
    reward_id: str,
    definition: Definition,
    *,
    etag: str,
    creator: str,
    now: datetime,
) -> Stocked:
    """Write the next version; the description of the newest again changes nothing.

    Refuses: RewardNotFound, StaleEtag, RewardInvalid.
    """
    with transaction(database) as connection:
        reward = _locked(connection, reward_id, etag)
        refuse_problems(definition)
        if definition != reward.latest.definition:
            catalogue.add_version(connection, reward, definition, creator=creator, now=now)
        return _stocked(connection, catalogue.read(connection, reward_id), now)


def publish_reward(
    database: Engine, reward_id: str, version: int, *, etag: str, publisher: str, now: datetime
) -> Stocked:
    """Let a version take over, the newest for 0; the one in force stays as it is.

    Refuses: RewardNotFound, StaleEtag, RewardVersionNotFound, RewardInvalid.
    """
    with transaction(database) as connection:
        reward = _locked(connection, reward_id, etag)
        wanted = version or reward.latest.version
        if wanted == reward.published_version:
            return _stocked(connection, reward, now)
        found = catalogue.read_version(connection, reward_id, wanted)
        refuse_gone_by(found.definition, now)
        catalogue.publish(connection, found, publisher=publisher, now=now)
        events.reward_published(connection, found, now=now)
        return _stocked(connection, catalogue.read(connection, reward_id), now)


def end_reward(database: Engine, reward_id: str, *, etag: str, now: datetime) -> Stocked:
    """Refuses: RewardNotFound, StaleEtag."""
    with transaction(database) as connection:
        reward = _locked(connection, reward_id, etag)
        if reward.state is State.ENDED:
            return _stocked(connection, reward, now)
        catalogue.end(connection, reward_id, now=now)
        if reward.published_version is not None:
            events.reward_ended(connection, reward_id, reward.published_version, now=now)
        return _stocked(connection, catalogue.read(connection, reward_id), now)


def set_stock(database: Engine, reward_id: str, stock: StockSettings, *, now: datetime) -> Stocked:
    """Refuses: RewardNotFound."""
    with transaction(database) as connection:
        catalogue.set_stock(connection, reward_id, stock)
        return _stocked(connection, catalogue.read(connection, reward_id), now)


def get_reward(database: Engine, reward_id: str, *, now: datetime) -> Stocked:
    """Refuses: RewardNotFound."""
    with transaction(database) as connection:
        return _stocked(connection, catalogue.read(connection, reward_id), now)


def list_rewards(database: Engine, *, after: str, limit: int, now: datetime) -> list[Stocked]:
    """The next rewards by name, whatever their state."""
    with transaction(database) as connection:
        found = catalogue.rewards_after(connection, after, limit=limit)
        return _all_stocked(connection, found, now)


def list_versions(database: Engine, reward_id: str, *, before: int, limit: int) -> list[Version]:
    """The versions below one, newest first. Refuses: RewardNotFound."""
    with transaction(database) as connection:
        catalogue.read(connection, reward_id)
        return catalogue.versions_before(connection, reward_id, before, limit=limit)


def _locked(connection: Connection, reward_id: str, etag: str) -> Reward:
    """Refuses: RewardNotFound, StaleEtag unless the etag is empty."""
    reward = catalogue.lock(connection, reward_id)
    if etag and etag != reward.etag:
        raise StaleEtag
    return reward


def _stocked(connection: Connection, reward: Reward, now: datetime) -> Stocked:
    return _all_stocked(connection, [reward], now)[0]


def _all_stocked(connection: Connection, rewards: Sequence[Reward], now: datetime) -> list[Stocked]:
    reward_ids = [reward.reward_id for reward in rewards]
    taken = quotas.taken_of_stock(connection, reward_ids, day=now.date())
    return [Stocked(reward, taken[reward.reward_id]) for reward in rewards]
