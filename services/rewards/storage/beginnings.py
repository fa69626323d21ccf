"""What redemptions that begin are decided by, looked up for all of them at once."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.plumbing.database import array, text_array
from services.plumbing.errors import Refused
from services.plumbing.prepared import Session, Statement
from services.rewards.domain.offering import Standing
from services.rewards.domain.rewards import Offer
from services.rewards.storage import catalogue, members, people

# Of each row either what is known of a member stands, or a version of a reward.
LOOK = Statement(
    "look_at_beginnings",
    "uuid[], timestamptz, text[], timestamptz",
    "SELECT member_id, root_id, erased, NULL AS tier, NULL AS segment, NULL AS reward_id,"
    " NULL::integer AS version, NULL AS definition, NULL AS stock, NULL::timestamptz AS end_time,"
    f" NULL::bigint AS publication FROM ({members.BARRED}) AS barred"
    " UNION ALL SELECT member_id, NULL, NULL, tier, segment, NULL, NULL, NULL, NULL, NULL, NULL"
    f" FROM ({people.STANDINGS}) AS standings"
    " UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, reward_id, version, definition, stock,"
    f" end_time, publication FROM ({catalogue.OFFERS_SINCE}) AS offers"
    " ORDER BY publication DESC",
)


@dataclass(frozen=True, slots=True)
class Looked:
    """Why members get nothing, of those who do not; how all stand; and what was offered, newest
    first, by the reward, of those that are there.
    """

    barred: Mapping[UUID, Refused]
    standings: Mapping[UUID, Standing]
    offers: Mapping[str, Sequence[Offer]]


def look(
    session: Session,
    member_ids: Collection[UUID],
    reward_ids: Collection[str],
    *,
    now: datetime,
    since: datetime,
) -> Looked:
    """How members stand now, and which versions of rewards were in force since a moment."""
    rows = LOOK.run(session, array(member_ids), now, text_array(reward_ids), since)
    told = [row for row in rows if row[0] is not None]
    barred = [row[:3] for row in told if row[2] is not None]
    return Looked(
        {member_id: members.why_barred(root_id, erased=e) for member_id, root_id, e in barred},
        people.read_standings(member_ids, [(row[0], *row[3:5]) for row in told if row[2] is None]),
        catalogue.read_offers(row[5:] for row in rows if row[0] is None),
    )
