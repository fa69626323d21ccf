"""A Saturday at the tills: which share of them is busy, hour by hour. Change it here."""

# At the full hour; in between it rises and falls evenly. The doors close at the last one.
SHARE_BUSY = {
    7: 0.05,
    8: 0.20,
    9: 0.45,
    10: 0.75,
    11: 1.00,
    12: 0.95,
    13: 0.75,
    14: 0.70,
    15: 0.80,
    16: 0.95,
    17: 0.85,
    18: 0.60,
    19: 0.35,
    20: 0.15,
    21: 0.05,
}
OPENS, CLOSES = min(SHARE_BUSY), max(SHARE_BUSY)
# A till and the agent who answers its customers are always there.
USERS_MIN = 2


def hour_at(elapsed_seconds: float, day_seconds: float) -> float:
    """The hour of the Saturday, when the whole day passes in so many seconds."""
    return OPENS + (CLOSES - OPENS) * elapsed_seconds / day_seconds


def share_busy(hour: float) -> float:
    """The share of the tills that is busy at an hour, from 0 to 1; 0 while closed."""
    if not OPENS <= hour <= CLOSES:
        return 0.0
    before = int(hour)
    after = min(before + 1, CLOSES)
    return SHARE_BUSY[before] + (SHARE_BUSY[after] - SHARE_BUSY[before]) * (hour - before)


def users_at(elapsed_seconds: float, day_seconds: float, users_max: int) -> int | None:
    """How many users there are; None when the day is over."""
    if elapsed_seconds >= day_seconds:
        return None
    share = share_busy(hour_at(elapsed_seconds, day_seconds))
    return max(USERS_MIN, round(users_max * share))
