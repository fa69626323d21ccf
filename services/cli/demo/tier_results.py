"""Who ended the year in which tier, as tiering's own tables say."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection

from services.cli.demo.tiers import GROUP, TIERS
from services.plumbing.database import engine, transaction


@dataclass(frozen=True, slots=True)
class TierResults:
    """Members by the tier they are in, the lowest first, and how often one changed."""

    tiers: Mapping[str, int] = field(default_factory=dict)
    tier_changes: int = 0


def read_tier_results(tiering_database_url: str) -> TierResults:
    source = engine(tiering_database_url, pool_size=1)
    try:
        with transaction(source) as connection:
            return _read(connection)
    finally:
        source.dispose()


def _read(connection: Connection) -> TierResults:
    group = GROUP.removeprefix("tierGroups/")
    rows = connection.exec_driver_sql(
        # Who has no state yet is in the first tier.
        "SELECT coalesce(tier, 0), count(*) FROM members LEFT JOIN states ON member = number"
        " AND group_id = (SELECT id FROM tier_groups WHERE name = %s) GROUP BY 1",
        (group,),
    )
    counts: dict[int, int] = {row[0]: row[1] for row in rows}
    changes: int = connection.exec_driver_sql("SELECT count(*) FROM tier_changes").scalar_one()
    codes = [code for code, *_ in TIERS]
    return TierResults(
        tiers={code: counts.get(place, 0) for place, code in enumerate(codes)},
        tier_changes=changes,
    )
