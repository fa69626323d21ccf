"""Publish and read earn policies."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from sqlalchemy import Engine

from services.ledger.domain import policy as policy_domain
from services.ledger.domain.policy import Policy
from services.ledger.domain.refusals import EffectiveInThePast, PolicyNotFound, RequestIdReused
from services.ledger.storage import policies, posting
from services.ledger.storage.shards import count, schema
from services.plumbing import outbox
from services.plumbing.database import transaction

Announce = Callable[[Policy], outbox.Event]


@dataclass(frozen=True, slots=True)
class Policies:
    engine: Engine
    announce: Announce

    def publish(
        self, draft: Policy, *, request_id: str, body_hash: str, publisher: str, now: int
    ) -> Policy:
        """Publish the next version. Refuses: PolicyInvalid, RequestIdReused, EffectiveInThePast.

        No batch of any shard is under way meanwhile, so every sale is either posted before
        and seen here, or after and
        earns by the new version.
        """
        policy_domain.check(draft)
        with transaction(self.engine) as connection:
            policies.lock_publishing(connection)
            earlier = policies.published_by(connection, request_id)
            if earlier is not None:
                if earlier[0] != body_hash:
                    raise RequestIdReused("the request_id was used for another policy before")
                return earlier[1]
            for shard in range(count(connection)):
                posting.fence(connection, shard)
                if policies.has_sale_from(connection, schema(shard), draft.effective_time):
                    raise EffectiveInThePast(
                        "a sale at or after the effective time is posted already"
                    )
            versions = [policy.version for policy in policies.all_policies(connection)]
            policy = msgspec.structs.replace(
                draft,
                version=max(versions, default=0) + 1,
                publisher=publisher,
                publish_time=now,
            )
            policies.add(connection, policy, request_id=request_id, body_hash=body_hash)
            outbox.append(connection, "public", [self.announce(policy)])
        return policy

    def get(self, version: int) -> Policy:
        """Refuses: PolicyNotFound."""
        for policy in self.all():
            if policy.version == version:
                return policy
        raise PolicyNotFound(f"there is no version {version}", version=str(version))

    def all(self) -> list[Policy]:
        with transaction(self.engine) as connection:
            return policies.all_policies(connection)
