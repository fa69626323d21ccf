"""Cards and wallets of members, as `members` tells of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine

from services.ledger.domain.documents import CardState
from services.ledger.storage import directory, merges, posting
from services.ledger.usecases import tiers, together
from services.plumbing import outbox
from services.plumbing.database import transaction

AnnounceWallet = Callable[[int, str, datetime], outbox.Event]


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A member is one since then."""

    member_id: str
    time: datetime


@dataclass(frozen=True, slots=True)
class Issued:
    """A member was given a card."""

    member_id: str
    token: str


def welcome(
    connection: Connection,
    news: Sequence[Enrolled | Issued],
    *,
    now: datetime,
    announce: AnnounceWallet,
) -> None:
    """Note members, and let their cards credit them: together those of whom nothing was known, one
    by one in their order the others.
    """
    enrolled = [each for each in reversed(news) if isinstance(each, Enrolled)]
    if enrolled:
        directory.note_members(connection, {each.member_id: each.time for each in enrolled})
    issued = [each for each in news if isinstance(each, Issued)]
    done = _issue_first_cards(connection, issued, now=now, announce=announce)
    for each in issued:
        if each not in done:
            issue_card(connection, each.member_id, each.token, now=now, announce=announce)


def _issue_first_cards(
    connection: Connection, issued: Sequence[Issued], *, now: datetime, announce: AnnounceWallet
) -> set[Issued]:
    """Let cards that nobody knows credit members who have no wallet. Returns which did."""
    of_members = {each.member_id: each for each in reversed(issued)}
    of_tokens = {each.token: each for each in reversed(issued)}
    if len(of_members) < 2:
        return set()
    members = list(of_members)
    directory.lock_members(connection, members)
    owning = {member for _, member in directory.wallets_of_members(connection, members)}
    first = [
        each
        for member, each in of_members.items()
        if member not in owning and of_tokens[each.token] is each
    ]
    wallets = dict(zip(first, directory.next_wallets(connection, len(first)), strict=True))
    added = directory.add_cards(connection, {each.token: wallets[each] for each in first})
    done = [each for each in first if each.token in added]
    if done:
        owned = [(wallets[each], each.member_id) for each in done]
        own(connection, owned, now=now, announce=announce)
    return set(done)


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
        own(connection, [(wallet_id, member_id)], now=now, announce=announce)
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
        own(connection, [(wallet_id, member_id)], now=now, announce=announce)


def own(
    connection: Connection,
    wallets: Sequence[tuple[int, str]],
    *,
    now: datetime,
    announce: AnnounceWallet,
) -> None:
    """Give wallets to members, whose tiers count for them from now on, and who may be blocked."""
    directory.own_each(connection, wallets)
    for schema, owned in together.by_schema(connection, wallets).items():
        posting.note_enrolments(connection, schema, owned)
    members = [member_id for _, member_id in wallets]
    roots = merges.roots_of(connection, members)
    tiers.copy_to_wallets(connection, [(wallet, roots[member_id]) for wallet, member_id in wallets])
    if blocked := merges.blocked_among(connection, members):
        marked = [(wallet, True) for wallet, member_id in wallets if member_id in blocked]
        together.mark_wallets(connection, marked)
    outbox.append(connection, "public", [announce(*owned, now) for owned in wallets])


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
