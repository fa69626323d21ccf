"""What the audit follows document by document: that points which come back make good what returns
forgave, in the wallets where any did.
"""

from collections.abc import Iterator
from itertools import groupby

import msgspec
from sqlalchemy import Connection

from services.ledger.domain import audit
from services.ledger.domain.audit import CheckResult, Tally
from services.ledger.domain.documents import Account, DocumentType
from services.ledger.domain.lots import Forgiven
from services.ledger.domain.making_good import Followed, Following, forgiven_differences
from services.ledger.domain.policy import Clawback, PointKind
from services.ledger.storage.audit_sums import IS_MADE_GOOD
from services.ledger.storage.shards import schema as schema_of
from services.ledger.storage.streams import stream

_HELD = ", ".join(
    str(kind.value) for kind in (DocumentType.HOLD, DocumentType.BURN, DocumentType.RELEASE)
)
_SENT = f"{DocumentType.SEND.value}, {DocumentType.RECEIVE.value}"
_GIVING = f"{Account.REDEMPTION.value}, {Account.TRANSFER.value}"
# Where only pending points are taken back, what is forgiven stays so.
_PENDING_ONLY = f"""
    SELECT version FROM public.earn_policies
    WHERE (policy->'settings'->>'clawback')::integer = {Clawback.PENDING_ONLY.value}"""

# Few wallets are concerned: of the others nothing is read but these marks.
DOCUMENTS = f"""
    WITH concerned AS MATERIALIZED (
        SELECT wallet_id FROM {{schema}}.forgiven
        UNION SELECT wallet_id FROM {{schema}}.entries WHERE {IS_MADE_GOOD}
        UNION SELECT wallet_id FROM {{schema}}.journal
        WHERE points_forgiven > 0 AND refusal IS NULL
          AND policy_version NOT IN ({_PENDING_ONLY}))
    SELECT j.wallet_id, j.document_id, j.sequence, j.type, j.original_id,
           CASE WHEN j.policy_version IN ({_PENDING_ONLY}) THEN 0 ELSE j.points_forgiven END,
           CASE WHEN j.type IN ({_HELD}) THEN j.lines::text ELSE '' END,
           CASE WHEN j.type IN ({_SENT}) THEN j.receipt_number ELSE '' END,
           coalesce(e.given_back, 0), coalesce(e.given_anew, 0), coalesce(e.made_good, 0)
    FROM concerned JOIN {{schema}}.journal j USING (wallet_id)
    CROSS JOIN LATERAL (
        SELECT sum(points) FILTER (WHERE account IN ({_GIVING}) AND points > 0)::bigint
                   AS given_back,
               sum(points) FILTER (WHERE account = {Account.ISSUANCE.value} AND points > 0)::bigint
                   AS given_anew,
               -sum(points) FILTER (WHERE {IS_MADE_GOOD})::bigint AS made_good
        FROM unnest(j.entries) WHERE kind = {PointKind.REDEEMABLE.value}) e
    WHERE j.refusal IS NULL
    ORDER BY j.wallet_id, j.sequence"""

FORGIVEN = """
    SELECT return_id, sequence, sale_id, points, points_left FROM {schema}.forgiven
    WHERE wallet_id = %s"""

# Of wallets to which nothing was posted.
STRANGE = """
    SELECT f.wallet_id, return_id FROM {schema}.forgiven f
    WHERE NOT EXISTS (
        SELECT FROM {schema}.journal j WHERE j.wallet_id = f.wallet_id AND j.refusal IS NULL)"""


def compare_forgiven(connection: Connection, shard: int) -> CheckResult:
    """Whether every document made good what it should have, and what is left is what is kept."""
    tally = Tally(audit.FORGIVEN_MADE_GOOD)
    schema = schema_of(shard)
    for wallet_id, documents in groupby(_documents(connection, schema), lambda d: d.wallet_id):
        following = Following()
        for document in documents:
            where = f"wallet {wallet_id}, document {document.document_id}"
            try:
                tally.add(where, list(following.follow(document)))
            except msgspec.MsgspecError:
                tally.add(where, ["what it is about cannot be read"])
        rows = connection.exec_driver_sql(FORGIVEN.format(schema=schema), (wallet_id,))
        kept = [Forgiven(*row) for row in rows]
        tally.add(f"wallet {wallet_id}", forgiven_differences(kept, following.forgiven))
    for wallet_id, return_id in stream(connection, STRANGE.format(schema=schema)):
        tally.add(f"wallet {wallet_id}", [f"return {return_id} forgave nothing"])
    return tally.result


def _documents(connection: Connection, schema: str) -> Iterator[Followed]:
    """What wallets did in which anything was forgiven, each from its first document on."""
    for row in stream(connection, DOCUMENTS.format(schema=schema)):
        wallet_id, document_id, sequence, kind, *rest = row
        yield Followed(wallet_id, document_id, sequence, DocumentType(kind), *rest)
