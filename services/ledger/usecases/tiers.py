"""What tiering announces, kept for the tills."""

from collections.abc import Sequence

from sqlalchemy import Connection

from services.ledger.domain.standing import TierRules
from services.ledger.storage import directory, tiers
from services.ledger.storage.tiers import MemberTier
from services.ledger.usecases import together


def note_rules(connection: Connection, rules: TierRules) -> None:
    tiers.add_rules(connection, rules)


def change_tiers(connection: Connection, changes: Sequence[MemberTier]) -> None:
    """Let sales of these members from the effective times on earn by their new tiers."""
    members = sorted({change.member_id for change in changes})
    directory.lock_members(connection, members)
    tiers.add_member_tiers(connection, changes)
    copy_to_wallets(connection, directory.wallets_counting_for(connection, members))


def copy_to_wallets(connection: Connection, wallets: Sequence[tuple[int, str]]) -> None:
    """Give wallets the tiers of their members; wallets are (wallet, member)."""
    for schema, owned in together.by_schema(connection, wallets).items():
        tiers.copy_to_wallets(connection, schema, owned)
