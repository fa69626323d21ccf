"""Members by their short numbers, and whose a wallet is."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

import msgspec
from sqlalchemy import Connection

from services.plumbing.database import array
from services.plumbing.prepared import Statement
from services.tiering.domain.columns import LONG_AGO
from services.tiering.storage.slices import SLICES


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
    return sorted(numbered(connection, dict.fromkeys(member_ids, heard_day)).values())


def numbered(connection: Connection, heard_days: Mapping[UUID, int]) -> dict[UUID, int]:
    """The number of each member; those whom nobody mentioned before that day get the next."""
    # In order: two that note the same members must not wait for each other.
    ids = sorted(heard_days)
    connection.exec_driver_sql(
        "INSERT INTO members (member_id, heard_day)"
        " SELECT given, day FROM unnest(%s::uuid[], %s::int[]) WITH ORDINALITY"
        "  AS heard (given, day, nth)"
        " WHERE NOT EXISTS (SELECT FROM members WHERE member_id = given) ORDER BY nth"
        " ON CONFLICT DO NOTHING",
        (array(ids), array(heard_days[member_id] for member_id in ids)),
    )
    rows = connection.exec_driver_sql(
        "SELECT member_id, number FROM members WHERE member_id = ANY(%s::uuid[])", (array(ids),)
    )
    return {row[0]: row[1] for row in rows}


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


def enrol(connection: Connection, enrol_days: Mapping[UUID, int]) -> None:
    """Note when members enrolled; of whom that is news, they are evaluated from the beginning."""
    numbers = numbered(connection, enrol_days)
    changed = connection.exec_driver_sql(
        "UPDATE members SET enrol_day = day FROM unnest(%s::int[], %s::int[]) AS told (given, day)"
        " WHERE number = given AND enrol_day IS DISTINCT FROM day RETURNING number",
        (array(numbers.values()), array(enrol_days[member_id] for member_id in numbers)),
    )
    connection.exec_driver_sql(
        "INSERT INTO changed_days (day, members)"
        " SELECT %s, array_agg(given) FROM unnest(%s::int[]) AS given WHERE EXISTS"
        f" (SELECT FROM activity WHERE slice = mod(given, {SLICES})::smallint AND member = given)"
        " HAVING count(*) > 0",
        (LONG_AGO, array(changed.scalars())),
    )


class Owner(msgspec.Struct, frozen=True):
    """For whom a wallet counts; origin is whose it is where that is another, merged into them."""

    member: int
    origin: int | None = None


# One by one, whatever the planner thinks of tables that are still small.
OWNERS = Statement(
    "owners",
    "bigint[]",
    "SELECT wallet, member, root FROM unnest($1) AS wanted CROSS JOIN LATERAL"
    " (SELECT wallet, member FROM wallets WHERE wallet = wanted LIMIT 1) AS owned"
    " CROSS JOIN LATERAL (SELECT root FROM members WHERE number = member LIMIT 1) AS owner",
)
LOCKED_OWNERS = Statement(
    "locked_owners",
    "bigint[]",
    "SELECT wallet, member, root FROM wallets LEFT JOIN LATERAL"
    " (SELECT root FROM members WHERE number = member LIMIT 1) AS owner ON true"
    " WHERE wallet = ANY($1) ORDER BY wallet FOR SHARE OF wallets",
)


def owners(connection: Connection, wallets: Collection[int]) -> Mapping[int, Owner]:
    """Of those wallets that have one; nobody may be merged meanwhile.

    The others belong to nobody until the connection's transaction ends.
    """
    found = _owners(connection, wallets, OWNERS)
    if len(found) < len(wallets):
        without = [wallet for wallet in wallets if wallet not in found]
        connection.exec_driver_sql(
            # In order: two that note the same wallets must not wait for each other.
            "INSERT INTO wallets (wallet) SELECT given FROM unnest(%s::bigint[]) AS given"
            " ORDER BY given ON CONFLICT DO NOTHING",
            (array(without),),
        )
        found |= _owners(connection, without, LOCKED_OWNERS)
    return found


def _owners(
    connection: Connection, wallets: Collection[int], statement: Statement
) -> dict[int, Owner]:
    return {
        wallet: Owner(member) if root is None else Owner(root, member)
        for wallet, member, root in statement.run(connection, array(wallets))
        if member is not None
    }


def own(connection: Connection, owners: Mapping[int, int]) -> list[int]:
    """Give wallets to members, by their numbers; which had no owner yet and were given."""
    wallets = sorted(owners)
    given = connection.exec_driver_sql(
        # In order: two that note the same wallets must not wait for each other.
        "INSERT INTO wallets (wallet, member) SELECT wallet, member"
        " FROM unnest(%s::bigint[], %s::int[]) AS given (wallet, member) ORDER BY wallet"
        " ON CONFLICT (wallet)"
        " DO UPDATE SET member = excluded.member WHERE wallets.member IS NULL RETURNING wallet",
        (array(wallets), array(owners[wallet] for wallet in wallets)),
    )
    return list(given.scalars())
