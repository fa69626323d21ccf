"""The hot path in SQL, first half: lock and look up. Set-based, in one round trip."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
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
from services.plumbing.batch_session import Asked, BatchTransaction
from services.plumbing.binary_copy import bigint_array
from services.plumbing.database import array
from services.plumbing.prepared import Statement

# Microseconds since 1970 into a timestamp, exactly.
MICROS = "timestamptz 'epoch' + {} * interval '1 microsecond'"
DUPLICATE_WINDOW = "interval '1 day'"
FENCE_CLASS = 7_102
# As much as the sequence moves on with every call.
DOCUMENT_ID_BLOCK = 2_000


# What tells a request: its wallet and its id.
Request = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Known:
    """What the journal already has of a batch: documents by their requests, requests of doubled
    receipts; the newest policy and how many tier rule sets there are; the tiers of sales' wallets
    at their business times, by request and group.
    """

    documents: dict[Request, int]
    duplicates: Set[Request]
    policy_version: int
    tier_rule_sets: int
    tiers: dict[Request, dict[str, str]]


# What a WalletState is made of.
WALLET = """
    wallet_id, available, pending, qualifying, lifetime, overdrawn, sequence, tiered, held,
    active_date - date 'epoch', enrol_date - date 'epoch', spending_blocked"""


@cache
def locking(schema: str) -> Statement:
    return Statement(
        f"lock_wallets_{schema}",
        "bigint[]",
        f"""
        SELECT {WALLET} FROM {schema}.wallets
        WHERE wallet_id = ANY($1) ORDER BY wallet_id FOR UPDATE""",
    )


@cache
def making(schema: str) -> Statement:
    return Statement(
        f"make_wallets_{schema}",
        "bigint[]",
        f"""
        INSERT INTO {schema}.wallets (wallet_id) SELECT unnest($1) ORDER BY 1
        ON CONFLICT DO NOTHING""",
    )


FENCE = Statement("fence_shared", "integer, integer", "SELECT pg_advisory_xact_lock_shared($1, $2)")


def find_wallets(
    connection: Connection, schema: str, wallet_ids: Sequence[int]
) -> dict[int, WalletState]:
    """Wallets as they are, for who only looks; those that do not exist are missing."""
    rows = connection.exec_driver_sql(
        f"SELECT {WALLET} FROM {schema}.wallets WHERE wallet_id = ANY(%s::bigint[])",
        (array(wallet_ids),),
    )
    return {row[0]: WalletState(*row) for row in rows}


def lock_and_look(
    batch: BatchTransaction,
    schema: str,
    shard: int,
    commands: Sequence[Command],
    *,
    made: Set[int],
    tiered: bool,
) -> tuple[dict[int, WalletState], Known]:
    """Lock the wallets of a batch until its end, and look up what the journal has of it.

    Of wallets that do not exist yet the ones to be made come into being; the others are missing in
    the answer. tiered says that some wallets are likely to have tiers.

    In id order: two batches that lock the same wallets the other way round would deadlock.
    Held besides, shared: the fence that publishing a policy holds alone.
    """
    ids = sorted({command.wallet_id for command in commands})
    batch.later(FENCE, FENCE_CLASS, shard)
    # Each statement sees all that was committed before it began: the look-up, all that those did
    # who held the locks before.
    locked = batch.ask(locking(schema), bigint_array(ids))
    batch.start()
    look = _Look(batch, schema, commands, tiered=tiered)
    rows = locked.rows()
    if len(rows) < len(ids) and not made <= {row[0] for row in rows}:
        batch.later(making(schema), array(made))
        locked = batch.ask(locking(schema), bigint_array(ids))
        # Somebody else may have made them, and recorded sales since.
        look = _Look(batch, schema, commands, tiered=tiered)
        rows = locked.rows()
    wallets = {row[0]: WalletState(*row) for row in rows}
    if not tiered and any(wallet.tiered for wallet in wallets.values()):
        look.ask_tiers()
    return wallets, look.known()


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


# A session plans these once, often while the journal is empty and any index seems as good: so each
# is said in a way that one index alone can serve, else every sale reads all that its wallet ever
# did. A request is asked for as a range, which no index by wallet serves.
RULES = Statement(
    "rules",
    "",
    """
    SELECT (SELECT coalesce(max(version), 0) FROM public.earn_policies),
           (SELECT count(*) FROM public.tier_rule_sets)""",
)


@cache
def finding_requests(schema: str) -> Statement:
    return Statement(
        f"find_requests_{schema}",
        "bigint[], uuid[]",
        f"""
        SELECT asked.wallet_id, asked.request_id::text, found.document_id
        FROM unnest($1, $2) AS asked (wallet_id, request_id)
        CROSS JOIN LATERAL (
            SELECT j.document_id FROM {schema}.journal j
            WHERE (j.request_id, j.wallet_id) >= (asked.request_id, asked.wallet_id)
              AND (j.request_id, j.wallet_id) <= (asked.request_id, asked.wallet_id)
            LIMIT 1) AS found""",
    )


@cache
def finding_receipts(schema: str) -> Statement:
    """Receipts of sales about the time of others; $1 are the places of these."""
    return Statement(
        f"find_receipts_{schema}",
        "bigint[], bigint[], bigint[]",
        f"""
        SELECT asked.place, j.receipt_number, j.store, j.terminal
        FROM unnest($1, $2, $3) AS asked (place, wallet_id, business_time)
        JOIN {schema}.journal j
          ON j.wallet_id = asked.wallet_id
         AND j.business_time
             BETWEEN {MICROS.format("asked.business_time")} - {DUPLICATE_WINDOW}
                 AND {MICROS.format("asked.business_time")} + {DUPLICATE_WINDOW}
         AND j.type = {DocumentType.SALE.value} AND j.refusal IS NULL""",
    )


@cache
def finding_tiers(schema: str) -> Statement:
    """The tiers of wallets at their sales' times; $1 are the sales' places."""
    return Statement(
        f"find_tiers_{schema}",
        "bigint[], bigint[], bigint[]",
        f"""
        SELECT asked.place, t.tier_group, t.tier
        FROM unnest($1, $2, $3) AS asked (place, wallet_id, business_time)
        CROSS JOIN LATERAL (
            SELECT DISTINCT ON (tier_group) tier_group, tier FROM {schema}.wallet_tiers w
            WHERE w.wallet_id = asked.wallet_id
              AND w.effective_time <= {MICROS.format("asked.business_time")}
            ORDER BY tier_group, effective_time DESC) AS t""",
    )


class _Look:
    """Looks up the requests of a batch, the receipts of its sales and their wallets' tiers.

    After the wallets are locked nobody else adds any.
    """

    def __init__(
        self, batch: BatchTransaction, schema: str, commands: Sequence[Command], *, tiered: bool
    ) -> None:
        self._batch = batch
        self._schema = schema
        self._commands = commands
        self._rules = batch.ask(RULES)
        self._requests = batch.ask(
            finding_requests(schema),
            bigint_array([command.wallet_id for command in commands]),
            array([command.request_id for command in commands]),
        )
        self._sales = _places_of_sales(commands)
        self._receipts = batch.ask(finding_receipts(schema), *self._sales) if self._sales else None
        self._tiers: Asked | None = None
        if tiered:
            self.ask_tiers()

    def ask_tiers(self) -> None:
        if self._sales:
            self._tiers = self._batch.ask(finding_tiers(self._schema), *self._sales)

    def known(self) -> Known:
        [(policy_version, tier_rule_sets)] = self._rules.rows()
        documents = {
            (wallet_id, request_id): document_id
            for wallet_id, request_id, document_id in self._requests.rows()
        }
        duplicates = set()
        for place, *receipt in self._receipts.rows() if self._receipts else ():
            command = self._commands[place]
            if receipt == _receipt_texts(command):
                duplicates.add((command.wallet_id, command.request_id))
        tiers: dict[Request, dict[str, str]] = {}
        for place, group, tier in self._tiers.rows() if self._tiers else ():
            command = self._commands[place]
            tiers.setdefault((command.wallet_id, command.request_id), {})[group] = tier
        return Known(documents, duplicates, policy_version, tier_rule_sets, tiers)


def _places_of_sales(commands: Sequence[Command]) -> tuple[bytes, bytes, bytes] | None:
    """The places of sales in a batch, their wallets and their times; None without any."""
    sales = [
        (place, command.wallet_id, command.sale.business_time)
        for place, command in enumerate(commands)
        if isinstance(command, RecordSale)
    ]
    if not sales:
        return None
    places, wallets, times = zip(*sales, strict=True)
    return bigint_array(places), bigint_array(wallets), bigint_array(times)


def _receipt_texts(command: Command) -> list[str]:
    """What tells a sale's receipt, as finding_receipts answers it."""
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
