"""Cards and wallets of members, as `members` tells of them."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection, Engine

from services.ledger.domain.documents import CardState
from services.ledger.storage import directory, merges, posting, shards
from services.ledger.usecases import tiers, together
from services.plumbing import outbox
from services.plumbing.database import transaction

AnnounceWallet = Callable[[int, str, datetime], outbox.Event]


def note_member(connection: Connection, member_id: str, enrol_time: datetime) -> None:
    directory.note_member(connection, member_id, enrol_time)


def first_wallet(
    database: Engine, member_id: str, *, now: datetime, announce: AnnounceWallet
) -> int:
    """The wallet a member's points go to by default; made for a member who has none yet."""
    with transaction(database) as connection:
        directory.lock_members(connection, [member_id])
        owned = directory.own_wallets(connection, member_id)
        if owned:
            return owned[0]
        wallet_id = directory.next_wallet(connection)
        own(connection, wallet_id, member_id, now=now, announce=announce)
        return wallet_id


def issue_card(
    connection: Connection,
    member_id: str,
    token: str,
    *,
    now: datetime,
    announce: AnnounceWallet,
) -> None:
    """Let a card credit its member. A card that tills know already brings its wallet and points
    along.

    A member's further cards credit the first wallet, except one that comes with a wallet of its
    own.
    """
    directory.lock_members(connection, [member_id])
    owned = directory.own_wallets(connection, member_id)
    wallet_id = owned[0] if owned else directory.next_wallet(connection)
    # Added before it is looked up: a till may be giving this very card a provisional wallet, and
    # the points that earns must not be left behind.
    if not directory.add_card(connection, token, wallet_id):
        card = directory.find_cards(connection, [token])[token]
        if not card.known:
            wallet_id = card.wallet_id
        directory.put_card(connection, token, wallet_id, CardState.ACTIVE)
    if wallet_id not in owned:
        own(connection, wallet_id, member_id, now=now, announce=announce)


def own(
    connection: Connection,
    wallet_id: int,
    member_id: str,
    *,
    now: datetime,
    announce: AnnounceWallet,
) -> None:
    """Give a wallet to a member, whose tiers count for it from now on, and who may be blocked."""
    directory.own(connection, wallet_id, member_id)
    where = shards.schema(shards.shard_of(wallet_id, shards.count(connection)))
    posting.note_enrolment(connection, where, wallet_id, member_id)
    counting = merges.root_of(connection, member_id)
    tiers.copy_to_wallets(connection, [(wallet_id, counting)])
    if merges.blocked_among(connection, [member_id]):
        together.mark_wallets(connection, [(wallet_id, True)])
    outbox.append(connection, "public", [announce(wallet_id, member_id, now)])


def replace_card(
    connection: Connection,
    member_id: str,
    old_token: str,
    new_token: str,
    *,
    now: datetime,
    announce: AnnounceWallet,
) -> None:
    """The new card credits the wallet of the old one, which is refused from now on."""
    old = directory.find_cards(connection, [old_token]).get(old_token)
    if old is None or not directory.add_card(connection, new_token, old.wallet_id):
        new = directory.find_cards(connection, [new_token]).get(new_token)
        if old is None or (new is not None and not new.known):
            issue_card(connection, member_id, new_token, now=now, announce=announce)
        else:
            directory.put_card(connection, new_token, old.wallet_id, CardState.ACTIVE)
    directory.set_card_state(connection, old_token, CardState.REPLACED)


def block_card(connection: Connection, token: str) -> None:
    directory.set_card_state(connection, token, CardState.BLOCKED)
