"""Members by their short numbers, and whose a wallet is."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from sqlalchemy import Connection

from services.plumbing.database import array
from services.plumbing.prepared import Statement
from services.tiering.domain.columns import LONG_AGO, Int32s, Int64s
from services.tiering.storage import locks
from services.tiering.storage.columns import literal, packed, run_packed
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


# Of a wallet, or a member's rows, that nobody else has: members' numbers begin at 1.
NOBODY = 0


@dataclass(frozen=True, slots=True)
class Owners:
    """For which members wallets count, sorted by wallet; origins are whose they are where that is
    another, merged into them, else NOBODY.
    """

    wallets: Int64s
    members: Int32s
    origins: Int32s

    def of(self, wallets: Int64s) -> tuple[Int32s, Int32s]:
        """The member and the origin of each of these; of a wallet without an owner NOBODY."""
        if not len(self.wallets):
            nobody = np.full(len(wallets), NOBODY, np.int32)
            return nobody, nobody
        place = np.minimum(np.searchsorted(self.wallets, wallets), len(self.wallets) - 1)
        owned = self.wallets[place] == wallets
        return (
            np.where(owned, self.members[place], NOBODY),
            np.where(owned, self.origins[place], NOBODY),
        )


OWNED_COLUMNS = {"wallet": "i8", "member": "i4"}
MERGED_COLUMNS = {"number": "i4", "root": "i4"}
OWNERS = Statement(
    "owners",
    "bigint[]",
    "WITH owned AS MATERIALIZED"
    " (SELECT wallet, member FROM wallets WHERE wallet = ANY($1) AND member IS NOT NULL)"
    f" SELECT owned.*, merged.* FROM (SELECT {packed(OWNED_COLUMNS)} FROM owned) AS owned"
    # Few are merged, and an index knows which.
    f" CROSS JOIN (SELECT {packed(MERGED_COLUMNS)} FROM members"
    "  WHERE root IS NOT NULL AND number = ANY(ARRAY(SELECT member FROM owned))) AS merged",
)


def lock_owners(connection: Connection) -> None:
    """Let no wallet get an owner until the connection's transaction ends; any number may do this.

    A lock on each wallet would cost as much as all else that is done about it.
    """
    locks.share(connection, "wallets")


def lock_owning(connection: Connection) -> None:
    """Be the only one to give wallets to members, or to ask whose they are."""
    locks.take(connection, "wallets")


def owners(connection: Connection, wallets: Int64s) -> Owners:
    """Of those of distinct wallets that have one; nobody may be merged meanwhile."""
    found = run_packed(connection, OWNERS, OWNED_COLUMNS | MERGED_COLUMNS, literal(wallets))
    order = np.argsort(found["wallet"])
    members = found["member"][order]
    origins = np.full(len(members), NOBODY, np.int32)
    for number, root in zip(found["number"].tolist(), found["root"].tolist(), strict=True):
        origins[members == number] = number
        members[origins == number] = root
    return Owners(found["wallet"][order], members, origins)


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
