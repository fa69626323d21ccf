"""When members were last active, as a batch goes on: a sale that comes back as a whole was none."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from services.ledger.domain.documents import ACTIVE, Document, Original
from services.ledger.domain.point_life import MICROS_PER_DAY
from services.ledger.domain.returning import kept_lines
from services.ledger.domain.wallet import WalletState
from services.ledger.storage import activity


@dataclass(frozen=True, slots=True)
class Activity:
    """The last active days of wallets beside the sales that a batch may take back, and the days of
    these, by their documents.
    """

    last: Mapping[int, int | None]
    sales: Mapping[int, tuple[int, int]]

    def without(self, wallet_id: int, sale_id: int, documents: Sequence[Document]) -> int | None:
        """The last day on which a member was active beside a sale; documents are those of the
        batch so far.
        """
        whole = {d.original_id for d in documents if d.visits < 0} | {sale_id}
        days = [
            day
            for other, (owner, day) in self.sales.items()
            if owner == wallet_id and other not in whole
        ]
        days += [
            document.business_time // MICROS_PER_DAY
            for document in documents
            if document.wallet_id == wallet_id
            and document.type in ACTIVE
            and not document.refused
            and document.document_id not in whole
        ]
        last = self.last.get(wallet_id)
        return max([*days, *([] if last is None else [last])], default=None)


def look_up(
    connection: Connection,
    schema: str,
    wallets: Mapping[int, WalletState],
    originals: Collection[tuple[int, Original]],
) -> Activity:
    """Before anything of a batch is decided: wallets are those with returns, originals the sales
    that these may take back, with their wallets.
    """
    sales = {
        original.document_id: (wallet_id, original.business_time // MICROS_PER_DAY)
        for wallet_id, original in originals
        if not original.voided and kept_lines(original)
    }
    # Where the member was active after all of them, that stands.
    latest = {
        wallet_id for wallet_id, day in sales.values() if day == wallets[wallet_id].active_day
    }
    last: dict[int, int | None] = {key: wallet.active_day for key, wallet in wallets.items()}
    if latest:
        last |= activity.last_active_days(connection, schema, latest, without=sales)
        activity.load_prolonged(connection, schema, wallets, latest)
    return Activity(last, sales)
