"""Members by their short numbers, and whose a wallet is."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from services.plumbing.database import array, text_array
from services.tiering.domain.columns import LONG_AGO
from services.tiering.storage.slices import slice_of


def number_of(connection: Connection, member_id: UUID, *, heard_day: int) -> int:
    """A member's number; one that nobody mentioned before gets the next."""
    known = find(connection, member_id)
    if known is not None:
        return known
    connection.exec_driver_sql(
        "INSERT INTO members (member_id, heard_day) VALUES (%s::uuid, %s) ON CONFLICT DO NOTHING",
        (str(member_id), heard_day),
    )
    found = find(connection, member_id)
    if found is None:
        raise LookupError("a member that was just added is not there")
    return found


def find(connection: Connection, member_id: UUID) -> int | None:
    """A member's number, if somebody mentioned them."""
    number: int | None = connection.exec_driver_sql(
        "SELECT number FROM members WHERE member_id = %s::uuid", (str(member_id),)
    ).scalar_one_or_none()
    return number


def numbers_of(
    connection: Connection, member_ids: Collection[UUID], *, heard_day: int
) -> list[int]:
    """Numbers of members, given where there is none yet."""
    ids = text_array(sorted(str(member_id) for member_id in member_ids))
    connection.exec_driver_sql(
        "INSERT INTO members (member_id, heard_day)"
        " SELECT given, %s FROM unnest(%s::uuid[]) AS given"
        " WHERE NOT EXISTS (SELECT FROM members WHERE member_id = given) ORDER BY given"
        " ON CONFLICT DO NOTHING",
        (heard_day, ids),
    )
    rows = connection.exec_driver_sql(
        "SELECT number FROM members WHERE member_id = ANY(%s::uuid[]) ORDER BY number", (ids,)
    )
    return list(rows.scalars())


def ids_of(connection: Connection, numbers: Sequence[int]) -> dict[int, UUID]:
    rows = connection.exec_driver_sql(
        "SELECT number, member_id FROM members WHERE number = ANY(%s::int[])", (array(numbers),)
    )
    return {row[0]: row[1] for row in rows}


def count(connection: Connection) -> int:
    """How many have tiers of their own: all but the merged."""
    found: int = connection.exec_driver_sql(
        "SELECT count(*) FROM members WHERE root IS NULL"
    ).scalar_one()
    return found


def slices(connection: Connection) -> list[int]:
    """The slices that have members, in order."""
    rows = connection.exec_driver_sql("SELECT DISTINCT slice FROM members ORDER BY slice")
    return list(rows.scalars())


def enrol(connection: Connection, member_id: UUID, enrol_day: int) -> None:
    """Note when a member enrolled; where that is news, they are evaluated from the beginning."""
    number = number_of(connection, member_id, heard_day=enrol_day)
    changed = connection.exec_driver_sql(
        "UPDATE members SET enrol_day = %s WHERE number = %s AND enrol_day IS DISTINCT FROM %s",
        (enrol_day, number, enrol_day),
    )
    if changed.rowcount:
        connection.exec_driver_sql(
            "INSERT INTO changed_days (member, day) SELECT %s, %s WHERE EXISTS"
            " (SELECT FROM activity WHERE slice = %s AND member = %s)",
            (number, LONG_AGO, slice_of(number), number),
        )


@dataclass(frozen=True, slots=True)
class Owner:
    """For whom a wallet counts; origin is whose it is where that is another, merged into them."""

    member: int
    origin: int | None = None


def owners(connection: Connection, wallets: Collection[int]) -> Mapping[int, Owner]:
    """Of those wallets that have one; nobody may be merged meanwhile.

    The others belong to nobody until the connection's transaction ends.
    """
    found = _owners(connection, wallets, "")
    if len(found) < len(wallets):
        without = [wallet for wallet in wallets if wallet not in found]
        connection.exec_driver_sql(
            # In order: two that note the same wallets must not wait for each other.
            "INSERT INTO wallets (wallet) SELECT given FROM unnest(%s::bigint[]) AS given"
            " ORDER BY given ON CONFLICT DO NOTHING",
            (array(without),),
        )
        found |= _owners(connection, without, " ORDER BY wallet FOR SHARE OF wallets")
    return found


def _owners(connection: Connection, wallets: Collection[int], clauses: str) -> dict[int, Owner]:
    rows = connection.exec_driver_sql(
        "SELECT wallet, member, root FROM wallets LEFT JOIN members ON number = member"
        " WHERE wallet = ANY(%s::bigint[])" + clauses,
        (array(wallets),),
    )
    return {
        wallet: Owner(member) if root is None else Owner(root, member)
        for wallet, member, root in rows
        if member is not None
    }


def own(connection: Connection, wallet: int, number: int) -> bool:
    """Give a wallet to a member; False where it has an owner already."""
    given = connection.exec_driver_sql(
        "INSERT INTO wallets (wallet, member) VALUES (%s, %s) ON CONFLICT (wallet)"
        " DO UPDATE SET member = excluded.member WHERE wallets.member IS NULL",
        (wallet, number),
    )
    return bool(given.rowcount)
