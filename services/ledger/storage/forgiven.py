"""What returns forgave, and what of it was not made good yet."""

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import Connection

from services.ledger.domain.lots import Forgiven
from services.ledger.domain.wallet import WalletState
from services.plumbing.database import array


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


def changed(schema: str, wallets: Iterable[WalletState]) -> tuple[str, list[object]] | None:
    """What writes what was forgiven or made good; None where there is nothing."""
    found = [
        (wallet.wallet_id, forgiven)
        for wallet in wallets
        if wallet.touched_forgiven
        for forgiven in wallet.forgiven
        if forgiven.return_id in wallet.touched_forgiven
    ]
    if not found:
        return None
    statement = f"""
        INSERT INTO {schema}.forgiven (wallet_id, return_id, sequence, sale_id, points, points_left)
        SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
                             %s::bigint[])
        ON CONFLICT (wallet_id, return_id) DO UPDATE SET points_left = excluded.points_left"""
    return statement, [
        array(wallet for wallet, _ in found),
        array(forgiven.return_id for _, forgiven in found),
        array(forgiven.sequence for _, forgiven in found),
        array(forgiven.sale_id for _, forgiven in found),
        array(forgiven.points for _, forgiven in found),
        array(forgiven.left for _, forgiven in found),
    ]
