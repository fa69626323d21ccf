"""What returns forgave, and what of it was not made good yet."""

from collections.abc import Collection, Iterable, Mapping
from functools import cache

from sqlalchemy import Connection

from services.ledger.domain.lots import Forgiven
from services.ledger.domain.wallet import WalletState
from services.plumbing.database import array
from services.plumbing.prepared import Batch, Statement


def load_forgiven(
    connection: Connection, schema: str, wallets: Mapping[int, WalletState], ids: Collection[int]
) -> None:
    """Give wallets what returns forgave them that is left."""
    for wallet_id, *values in connection.exec_driver_sql(
        "SELECT wallet_id, return_id, sequence, sale_id, points, points_left"
        f" FROM {schema}.forgiven WHERE wallet_id = ANY(%s::bigint[]) AND points_left > 0"
        " ORDER BY wallet_id, sequence",
        (array(ids),),
    ):
        wallets[wallet_id].forgiven += (Forgiven(*values),)


@cache
def writing(schema: str) -> Statement:
    return Statement(
        f"write_forgiven_{schema}",
        ", ".join(["bigint[]"] * 6),
        f"""
        INSERT INTO {schema}.forgiven (wallet_id, return_id, sequence, sale_id, points, points_left)
        SELECT * FROM unnest($1, $2, $3, $4, $5, $6)
        ON CONFLICT (wallet_id, return_id) DO UPDATE SET points_left = excluded.points_left""",
    )


def write_changed(batch: Batch, schema: str, wallets: Iterable[WalletState]) -> None:
    """Keep what was forgiven or made good."""
    found = [
        (wallet.wallet_id, forgiven)
        for wallet in wallets
        if wallet.touched_forgiven
        for forgiven in wallet.forgiven
        if forgiven.return_id in wallet.touched_forgiven
    ]
    if not found:
        return
    batch.later(
        writing(schema),
        array(wallet for wallet, _ in found),
        array(forgiven.return_id for _, forgiven in found),
        array(forgiven.sequence for _, forgiven in found),
        array(forgiven.sale_id for _, forgiven in found),
        array(forgiven.points for _, forgiven in found),
        array(forgiven.left for _, forgiven in found),
    )
