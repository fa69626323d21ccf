"""Published earn policies."""

import msgspec
from sqlalchemy import Connection

from services.ledger.domain.policy import Policy, policy_from_json, policy_json
from services.ledger.domain.transfer_rules import TransferRules
from services.ledger.storage.posting import MICROS


def all_policies(connection: Connection) -> list[Policy]:
    rows = connection.exec_driver_sql("SELECT policy::text FROM earn_policies ORDER BY version")
    return [policy_from_json(row[0]) for row in rows]


def lock_publishing(connection: Connection) -> None:
    """One publication at a time."""
    connection.exec_driver_sql("LOCK TABLE earn_policies IN SHARE ROW EXCLUSIVE MODE")


def published_by(connection: Connection, request_id: str) -> tuple[str, Policy] | None:
    """The body hash and the policy a request published."""
    row = connection.exec_driver_sql(
        "SELECT body_hash::text, policy::text FROM earn_policies WHERE request_id = %s",
        (request_id,),
    ).one_or_none()
    return (row[0], policy_from_json(row[1])) if row else None


def add(connection: Connection, policy: Policy, *, request_id: str, body_hash: str) -> None:
    connection.exec_driver_sql(
        "INSERT INTO earn_policies (version, effective_time, request_id, body_hash, policy)"
        f" VALUES (%s, {MICROS.format('%s')}, %s, %s, %s)",
        (policy.version, policy.effective_time, request_id, body_hash, policy_json(policy)),
    )


def has_sale_from(connection: Connection, schema: str, business_time: int) -> bool:
    """Whether a shard has a sale at or after a business time."""
    found: bool = connection.exec_driver_sql(
        f"SELECT EXISTS (SELECT FROM {schema}.batches"
        f" WHERE latest_sale_time >= {MICROS.format('%s')})",
        (business_time,),
    ).scalar_one()
    return found


def transfer_rules_at(connection: Connection, time: int) -> TransferRules | None:
    """How members may send points by the policy in force at a time; None where they may not."""
    found: str | None = connection.exec_driver_sql(
        "SELECT (policy->'transfers')::text FROM earn_policies"
        f" WHERE effective_time <= {MICROS.format('%s')}"
        " ORDER BY effective_time DESC, version DESC LIMIT 1",
        (time,),
    ).scalar_one_or_none()
    return None if found in (None, "null") else msgspec.json.decode(found, type=TransferRules)
