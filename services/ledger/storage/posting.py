"""The hot path in SQL, first half: lock and look up. Set-based, two statements a batch."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cache

from sqlalchemy import Connection

from services.ledger.domain.documents import (
    AdjustPoints,
    Command,
    DocumentType,
    ReceivePoints,
    RecordSale,
)
from services.ledger.domain.wallet import WalletState
from services.plumbing.batch_session import BatchTransaction, Prepared
from services.plumbing.database import array

# Microseconds since 1970 into a timestamp, exactly.
MICROS = "timestamptz 'epoch' + {} * interval '1 microsecond'"
DUPLICATE_WINDOW = "interval '1 day'"
FENCE_CLASS = 7_102
# As much as the sequence moves on with every call.
DOCUMENT_ID_BLOCK = 2_000


@dataclass(frozen=True, slots=True)
class Known:
    """What the journal already has of a batch: documents by (wallet, request), doubled
    receipts; the newest policy and how many tier rule sets there are; the tiers of sales' wallets
    at their business times, by the sale's place and the group.
    """

    documents: dict[tuple[int, str], int]
    duplicates: frozenset[int]
    policy_version: int
    tier_rule_sets: int = 0
    tiers: dict[int, dict[str, str]] = field(default_factory=dict)


# What a WalletState is made of.
WALLET = """
    wallet_id, available, pending, qualifying, lifetime, overdrawn, sequence, tiered, held,
    active_date - date 'epoch', enrol_date - date 'epoch', spending_blocked"""


@cache
def locking(schema: str) -> Prepared:
    return (
        f"lock_{schema}",
        "bigint[]",
        f"""
        SELECT {WALLET} FROM {schema}.wallets
        WHERE wallet_id = ANY($1) ORDER BY wallet_id FOR UPDATE""",
    )


def find_wallets(
    connection: Connection, schema: str, wallet_ids: Sequence[int]
) -> dict[int, WalletState]:
    """Wallets as they are, for who only looks; those that do not exist are missing."""
    rows = connection.exec_driver_sql(
        f"SELECT {WALLET} FROM {schema}.wallets WHERE wallet_id = ANY(%s::bigint[])",
        (array(wallet_ids),),
    )
    return {row[0]: WalletState(*row) for row in rows}


def lock_wallets(
    batch: BatchTransaction,
    schema: str,
    shard: int,
    wallet_ids: Sequence[int],
    *,
    made: Set[int],
) -> dict[int, WalletState]:
    """Lock the wallets of a batch until its end. Of those that do not exist yet the ones to be
    made come into being; the others are missing in the answer.

    In id order: two batches that lock the same wallets the other way round would deadlock.
    Held besides, shared: the fence that publishing a policy holds alone.
    """
    ids = array(wallet_ids)
    batch.prepare(*locking(schema))
    batch.later(f"SELECT pg_advisory_xact_lock_shared({FENCE_CLASS}, {shard})")
    rows = batch.rows(f"EXECUTE lock_{schema}(%s)", (ids,))
    if len(rows) < len(wallet_ids) and not made <= {row[0] for row in rows}:
        batch.later(
            f"INSERT INTO {schema}.wallets (wallet_id) SELECT unnest(%s::bigint[])"
            " ORDER BY 1 ON CONFLICT DO NOTHING",
            (array(made),),
        )
        rows = batch.rows(f"EXECUTE lock_{schema}(%s)", (ids,))
    return {row[0]: WalletState(*row) for row in rows}


def note_enrolments(
    connection: Connection, schema: str, wallets: Sequence[tuple[int, str]]
) -> None:
    """Let wallets, each with its member, know when the members enrolled: some points expire by
    that.
    """
    connection.exec_driver_sql(
        f"INSERT INTO {schema}.wallets (wallet_id, enrol_date)"
        " SELECT wallet, (enrol_time AT TIME ZONE 'UTC')::date"
        " FROM unnest(%s::bigint[], %s::uuid[]) AS owned (wallet, member)"
        # In id order, as committers lock them.
        " JOIN public.members ON member_id = member ORDER BY wallet"
        " ON CONFLICT (wallet_id) DO UPDATE SET enrol_date = excluded.enrol_date",
        (array(wallet for wallet, _ in wallets), array(member for _, member in wallets)),
    )


def lock_rows(connection: Connection, schema: str, wallet_ids: Sequence[int]) -> None:
    """Lock wallets of a shard that are there, in the order of batches, until the end of the
    transaction.
    """
    connection.exec_driver_sql(
        f"SELECT FROM {schema}.wallets WHERE wallet_id = ANY(%s::bigint[])"
        " ORDER BY wallet_id FOR UPDATE",
        (array(wallet_ids),),
    )


def mark_spending(connection: Connection, schema: str, marks: Sequence[tuple[int, bool]]) -> None:
    """Let wallets of a shard know whether their members may spend; marks are (wallet, blocked)."""
    connection.exec_driver_sql(
        f"INSERT INTO {schema}.wallets (wallet_id, spending_blocked)"
        " SELECT wallet, blocked FROM unnest(%s::bigint[], %s::boolean[]) AS told (wallet, blocked)"
        f" WHERE blocked OR EXISTS (SELECT FROM {schema}.wallets WHERE wallet_id = wallet)"
        " ORDER BY wallet ON CONFLICT (wallet_id) DO UPDATE"
        " SET spending_blocked = excluded.spending_blocked"
        " WHERE wallets.spending_blocked <> excluded.spending_blocked",
        (array(wallet for wallet, _ in marks), array(blocked for _, blocked in marks)),
    )


def fence(connection: Connection, shard: int) -> None:
    """Wait until no batch of the shard is under way, and hold new ones back."""
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({FENCE_CLASS}, {shard})")


# A session plans this once, often while the journal is empty and any index seems as good: so each
# part is said in a way that one index alone can serve, else every sale reads all that its wallet
# ever did. A request is asked for as a range, which no index by wallet serves.
#
# $1 wallets and $2 request ids of all commands; $3 positions, $4 wallets and $5 times of sales; the
# same, $6 to $8, of sales of wallets that have tiers.
KNOWN_PARAMETERS = ", ".join(["bigint[]", "uuid[]", *["bigint[]"] * 6])
KNOWN = f"""
    SELECT 0 AS what, (SELECT coalesce(max(version), 0) FROM public.earn_policies)::bigint,
           (SELECT count(*) FROM public.tier_rule_sets), NULL::text, NULL::text, NULL::text
    UNION ALL
    SELECT 1, found.document_id, asked.wallet_id, asked.request_id::text, NULL, NULL
    FROM unnest($1, $2) AS asked (wallet_id, request_id)
    CROSS JOIN LATERAL (
        SELECT j.document_id FROM {{schema}}.journal j
        WHERE (j.request_id, j.wallet_id) >= (asked.request_id, asked.wallet_id)
          AND (j.request_id, j.wallet_id) <= (asked.request_id, asked.wallet_id)
        LIMIT 1) AS found
    UNION ALL
    SELECT 2, asked.number, 0, j.receipt_number, j.store, j.terminal
    FROM unnest($3, $4, $5) AS asked (number, wallet_id, business_time)
    JOIN {{schema}}.journal j
      ON j.wallet_id = asked.wallet_id
     AND j.business_time BETWEEN {MICROS.format("asked.business_time")} - {DUPLICATE_WINDOW}
                             AND {MICROS.format("asked.business_time")} + {DUPLICATE_WINDOW}
     AND j.type = {DocumentType.SALE.value} AND j.refusal IS NULL
    UNION ALL
    SELECT 3, asked.number, 0, t.tier_group, t.tier, NULL
    FROM unnest($6, $7, $8) AS asked (number, wallet_id, business_time)
    CROSS JOIN LATERAL (
        SELECT DISTINCT ON (tier_group) tier_group, tier FROM {{schema}}.wallet_tiers w
        WHERE w.wallet_id = asked.wallet_id
          AND w.effective_time <= {MICROS.format("asked.business_time")}
        ORDER BY tier_group, effective_time DESC) AS t"""


@cache
def knowing(schema: str) -> Prepared:
    return f"known_{schema}", KNOWN_PARAMETERS, KNOWN.format(schema=schema)


def find_known(
    batch: BatchTransaction,
    schema: str,
    commands: Sequence[Command],
    wallets: Mapping[int, WalletState],
) -> Known:
    """Look up the requests of a batch, the receipts of its sales and their wallets' tiers.

    After the wallets are locked nobody else adds any.
    """
    sales = [(i, c) for i, c in enumerate(commands) if isinstance(c, RecordSale)]
    tiered = [(i, c) for i, c in sales if wallets[c.wallet_id].tiered]
    batch.prepare(*knowing(schema))
    rows = batch.rows(
        f"EXECUTE known_{schema}(%s, %s, %s, %s, %s, %s, %s, %s)",
        (
            array([command.wallet_id for command in commands]),
            array([command.request_id for command in commands]),
            array([number for number, _ in sales]),
            array([command.wallet_id for _, command in sales]),
            array([command.sale.business_time for _, command in sales]),
            array([number for number, _ in tiered]),
            array([command.wallet_id for _, command in tiered]),
            array([command.sale.business_time for _, command in tiered]),
        ),
    )
    documents, duplicates, policy_version, tier_rule_sets = {}, set(), 0, 0
    tiers: dict[int, dict[str, str]] = {}
    for what, number, wallet_id, *texts in rows:
        if what == 0:
            policy_version, tier_rule_sets = number, wallet_id
        elif what == 1:
            documents[wallet_id, texts[0]] = number
        elif what == 3:
            tiers.setdefault(number, {})[texts[0]] = texts[1]
        elif texts == receipt_texts(commands[number]):
            duplicates.add(number)
    return Known(documents, frozenset(duplicates), policy_version, tier_rule_sets, tiers)


def receipt_texts(command: Command) -> list[str]:
    """What tells a sale's receipt, as find_known reads it."""
    if not isinstance(command, RecordSale):
        return []
    return [command.sale.receipt_number, command.sale.store, command.sale.terminal]


def draws_on_lots(command: Command, wallet: WalletState) -> bool:
    """Whether a command may change lots that are there, so that they must be read."""
    if isinstance(command, RecordSale):
        return wallet.overdrawn > 0 or command.sale.tender_points > 0
    if isinstance(command, AdjustPoints):
        return command.points < 0 or wallet.overdrawn > 0
    # What it owes is repaid out of the lots that it is given: no other has any.
    return not isinstance(command, ReceivePoints)


def next_document_ids(connection: Connection, schema: str) -> range:
    """A block of ids nobody else has or gets."""
    first: int = connection.exec_driver_sql(f"SELECT nextval('{schema}.document_ids')").scalar_one()
    return range(first, first + DOCUMENT_ID_BLOCK)
