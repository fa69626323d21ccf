"""What a shard's tables say of outstanding points: summed where they lie, by month of earning and
of use, so that little is read however many lots there are.
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date

from sqlalchemy import Connection

from services.ledger.domain.documents import Account
from services.ledger.domain.liability import DAY, Books, Moved, Outstanding
from services.ledger.domain.policy import PointKind
from services.ledger.domain.runoff import Flow, month_of
from services.ledger.storage.accounts import movements
from services.ledger.storage.lots import LIVES_UNTIL

REDEEMABLE = PointKind.REDEEMABLE.value
EARNED, BURNED, EXPIRED = 1, 2, 3

# Every entry once: what each account gave before the month, in it up to the day, and after the day.
MOVED = f"""
    SELECT e.account,
           coalesce(sum(e.points) FILTER (WHERE j.business_time < %(opening)s), 0)::bigint,
           coalesce(sum(e.points) FILTER (
               WHERE j.business_time >= %(opening)s AND j.business_time < %(closing)s), 0)::bigint,
           coalesce(sum(e.points) FILTER (WHERE j.business_time >= %(closing)s), 0)::bigint
    FROM {{schema}}.journal j CROSS JOIN LATERAL unnest(j.entries) e
    WHERE e.kind = {REDEEMABLE} GROUP BY e.account"""

# What became of points: by the other side of the entry that moved them, whatever document it is of.
# What repays a debt has none: those points were taken back when the debt was made.
_CAUSE = f"""
    CASE (j.entries[{{}}.ordinal]).account WHEN {Account.REDEMPTION.value} THEN {BURNED}
        WHEN {Account.BREAKAGE.value} THEN {EXPIRED} ELSE {EARNED} END"""

# Every lot and every use of one once, as what it did to the points outstanding. Burned points that
# come back in a lot of their own are less burned, not more earned. Few rows are left after the
# first sum, by days of earning and months of the rest; they are summed twice: by month of earning,
# month of use and cause; and by day of earning and when they can be spent last.
LOTS = f"""
    WITH effects AS (
        SELECT l.wallet_id, l.earn_time, l.expire_time, l.inactive_months, j.business_time,
               l.points, {_CAUSE.format("l")} AS cause
        FROM {{schema}}.lots l
        JOIN {{schema}}.journal j USING (document_id)
        WHERE j.business_time < %(closing)s
        UNION ALL
        SELECT l.wallet_id, l.earn_time, l.expire_time, l.inactive_months, j.business_time,
               -u.points, {_CAUSE.format("u")}
        FROM {{schema}}.lot_uses u
        JOIN {{schema}}.lots l ON (l.wallet_id, l.document_id, l.ordinal)
                                  = (u.wallet_id, u.lot_document_id, u.lot_ordinal)
        JOIN {{schema}}.journal j ON j.document_id = u.document_id
        WHERE j.business_time < %(closing)s),
    days AS (
        SELECT l.earn_time::date AS earn_day, date_trunc('month', l.business_time)::date AS used,
               l.cause, {LIVES_UNTIL} <= %(closing)s AS over,
               date_trunc('month', {LIVES_UNTIL} - interval '1 microsecond')::date AS last_month,
               sum(l.points) AS points
        FROM effects l JOIN {{schema}}.wallets w USING (wallet_id)
        GROUP BY 1, 2, 3, 4, 5),
    months AS (
        SELECT date_trunc('month', earn_day)::date AS earned, used, cause, earn_day, points,
               CASE WHEN over THEN last_month
                    ELSE (last_month + interval '1 month - 1 day')::date END AS last_day
        FROM days)
    SELECT earned, used, cause, earn_day, last_day, sum(points)::bigint,
           coalesce(sum(points) FILTER (WHERE used < %(opening)s), 0)::bigint
    FROM months GROUP BY GROUPING SETS ((earned, used, cause), (earn_day, last_day))"""


def books(connection: Connection, schema: str, as_of: date) -> Books:
    """What a shard's tables say at the end of a day; in a session whose days are UTC's."""
    period = {"opening": as_of.replace(day=1), "closing": as_of + DAY, "as_of": as_of}
    moved = {
        Account(account): Moved(before, within, later)
        for account, before, within, later in connection.exec_driver_sql(
            MOVED.format(schema=schema), period
        )
    }
    effects: dict[int, dict[int, dict[int, int]]] = defaultdict(lambda: defaultdict(dict))
    closing, opening = [], []
    for earned, used, cause, earn_day, last_day, points, before in connection.exec_driver_sql(
        LOTS.format(schema=schema), period
    ):
        if earn_day is None:
            effects[month_of(earned)][month_of(used)][cause] = points
        else:
            closing.append(Outstanding(earn_day, last_day, points))
            opening.append(Outstanding(earn_day, last_day, before))
    flows = {
        earned: {used: _flow(by_cause) for used, by_cause in by_month.items()}
        for earned, by_month in effects.items()
    }
    given = sum(
        points for (_, kind), points in movements(connection, schema).items() if kind == REDEEMABLE
    )
    return Books(moved, given, flows, closing, opening)


def _flow(effects: Mapping[int, int]) -> Flow:
    """What happened to points by cause: more of them, or fewer."""
    return Flow(effects.get(EARNED, 0), -effects.get(BURNED, 0), -effects.get(EXPIRED, 0))
