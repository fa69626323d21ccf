"""What tiering said: rule sets with their multipliers, and who is in which tier from when on."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import msgspec
from sqlalchemy import Connection

from services.ledger.domain.standing import TierBook, TierRules
from services.ledger.storage.journal import AS_MICROS
from services.ledger.storage.posting import MICROS
from services.plumbing.database import array, text_array
from services.plumbing.prepared import Statement

ADD = Statement(
    "add_member_tiers",
    "uuid[], text[], bigint[], text[]",
    "INSERT INTO member_tiers (member_id, tier_group, effective_time, tier)"
    f" SELECT member, kind, {MICROS.format('moment')}, tier"
    " FROM unnest($1, $2, $3, $4) AS told (member, kind, moment, tier)"
    " ON CONFLICT (member_id, tier_group, effective_time) DO UPDATE SET tier = excluded.tier",
)


@cache
def copying(schema: str) -> Statement:
    """Answers a row for each tier that a wallet was given."""
    return Statement(
        f"copy_tiers_to_{schema}",
        "bigint[], uuid[]",
        f"INSERT INTO {schema}.wallet_tiers (wallet_id, tier_group, effective_time, tier)"
        " SELECT wallet, tier_group, effective_time, tier"
        " FROM unnest($1, $2) AS owned (wallet, member)"
        " JOIN public.member_tiers ON member_id = member"
        " ON CONFLICT (wallet_id, tier_group, effective_time) DO UPDATE SET tier = excluded.tier"
        " RETURNING 1",
    )


@cache
def marking(schema: str) -> Statement:
    """Lets wallets know that they have tiers. In id order, as committers lock them; who knows it
    already is left alone, for a row that is locked waits for a commit.
    """
    return Statement(
        f"mark_tiered_in_{schema}",
        "bigint[]",
        f"INSERT INTO {schema}.wallets (wallet_id, tiered)"
        " SELECT given, true FROM unnest($1) AS given"
        f" WHERE NOT EXISTS (SELECT FROM {schema}.wallets w WHERE w.wallet_id = given AND w.tiered)"
        f" AND EXISTS (SELECT FROM {schema}.wallet_tiers t WHERE t.wallet_id = given)"
        " ORDER BY given ON CONFLICT (wallet_id) DO UPDATE SET tiered = true"
        " WHERE NOT wallets.tiered",
    )


@dataclass(frozen=True, slots=True)
class MemberTier:
    """A member is in a tier of a group from a business time on (microseconds since 1970)."""

    member_id: str
    group: str
    effective_time: int
    tier: str


def book(connection: Connection) -> TierBook:
    rows = connection.exec_driver_sql(
        f"SELECT tier_group, version, {AS_MICROS.format('effective_time')}, multipliers::text"
        " FROM public.tier_rule_sets ORDER BY id"
    ).fetchall()
    return TierBook(
        [
            TierRules(row[0], row[1], row[2], msgspec.json.decode(row[3], type=dict[str, str]))
            for row in rows
        ],
        newest=len(rows),
    )


def add_rules(connection: Connection, rules: TierRules) -> None:
    """Keep a rule set; one that is kept already stays as it is."""
    connection.exec_driver_sql(
        "INSERT INTO tier_rule_sets (tier_group, version, effective_time, multipliers)"
        f" VALUES (%s, %s, {MICROS.format('%s')}, %s) ON CONFLICT DO NOTHING",
        (
            rules.group,
            rules.version,
            rules.effective_time,
            msgspec.json.encode(rules.multipliers).decode(),
        ),
    )


def add_member_tiers(connection: Connection, tiers: Sequence[MemberTier]) -> None:
    """What is said anew of the same moment replaces what was said before."""
    ADD.run(
        connection,
        array(tier.member_id for tier in tiers),
        text_array(tier.group for tier in tiers),
        array(tier.effective_time for tier in tiers),
        text_array(tier.tier for tier in tiers),
    )


def copy_to_wallets(
    connection: Connection, schema: str, wallets: Sequence[tuple[int, str]]
) -> None:
    """Give wallets of a shard the tiers of their members; wallets are (wallet, member)."""
    if not wallets:
        return
    ids = array(wallet for wallet, _ in wallets)
    if copying(schema).run(connection, ids, array(member for _, member in wallets)):
        marking(schema).run(connection, ids)


def forget(connection: Connection, schema: str, wallets: Sequence[int]) -> None:
    """Take from wallets of a shard what was copied to them."""
    connection.exec_driver_sql(
        f"DELETE FROM {schema}.wallet_tiers WHERE wallet_id = ANY(%s::bigint[])",
        (array(wallets),),
    )


def tiers_at(
    connection: Connection, schema: str, wallet_id: int, business_time: int
) -> dict[str, str]:
    """The tier of a wallet in each group at a business time."""
    rows = connection.exec_driver_sql(
        f"SELECT DISTINCT ON (tier_group) tier_group, tier FROM {schema}.wallet_tiers"
        f" WHERE wallet_id = %s AND effective_time <= {MICROS.format('%s')}"
        " ORDER BY tier_group, effective_time DESC",
        (wallet_id, business_time),
    )
    return {row[0]: row[1] for row in rows}
