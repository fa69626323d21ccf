"""What a sale would earn: reads, and writes nothing."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from sqlalchemy import Engine

from services.ledger.domain import selling
from services.ledger.domain.basket import Sale
from services.ledger.domain.circumstances import Circumstances, Limits, Rules
from services.ledger.domain.documents import CardState, Document, Flag
from services.ledger.domain.wallet import WalletState
from services.ledger.storage import directory, policies, tiers
from services.ledger.storage.lots import wallets_with_lots
from services.ledger.storage.shards import schema, shard_of
from services.plumbing.database import transaction


@dataclass(frozen=True, slots=True)
class Quotes:
    engine: Engine
    shards: int
    limits: Limits
    clock: Callable[[], int]

    def quote(self, sale: Sale, card_token: str) -> Document:
        """The document the sale would become. Refuses: what recording the sale would
        refuse, but for what only its request_id tells.
        """
        with transaction(self.engine) as connection:
            rules = Rules(policies.all_policies(connection))
            book = tiers.book(connection)
            held: dict[str, str] = {}
            card = directory.find_cards(connection, [card_token]).get(card_token)
            wallet = WalletState(card.wallet_id if card else 0)
            if card is not None:
                schema_of = schema(shard_of(card.wallet_id, self.shards))
                found = wallets_with_lots(connection, schema_of, [card.wallet_id])
                held = tiers.tiers_at(connection, schema_of, card.wallet_id, sale.business_time)
                wallet = found.get(card.wallet_id, wallet)
        circumstances = Circumstances(rules, self.limits, self.clock(), lambda: 0, book)
        state = CardState(card.state) if card else CardState.ACTIVE
        unknown = card is None or not card.known
        document = selling.quote(
            sale, state, wallet, circumstances, tiers=held, unknown_card=unknown
        )
        flags = Flag.UNKNOWN_CARD if unknown else Flag.NONE
        return msgspec.structs.replace(document, flags=flags)
