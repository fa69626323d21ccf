"""Rows of activity as the engine takes them: a day's sums, and the baskets that stand."""

from collections import Counter, defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.tiering.storage.histories import ACTIVITY_COLUMNS, member_days

MEMBERS = 4
Row = tuple[int, int, int, int]

SALE = st.tuples(st.integers(0, MEMBERS - 1), st.integers(100, 103), st.integers(1, 3), st.just(0))


@st.composite
def histories(draw: st.DrawFn) -> list[Row]:
    """Sales of (member, day, base points), and returns that put a smaller basket in their place."""
    rows = draw(st.lists(SALE, max_size=30))
    for member, day, base, _ in list(rows):
        if draw(st.booleans()):
            rows.append((member, day, draw(st.integers(0, base - 1)), base))
    return draw(st.permutations(rows))


def expected(rows: list[Row]) -> dict[tuple[int, int], list[int]]:
    standing: dict[tuple[int, int], Counter[int]] = defaultdict(Counter)
    for member, day, now, before in rows:
        standing[member, day][now] += 1
        standing[member, day][before] -= 1
    return {key: sorted(c for c in found.elements() if c) for key, found in standing.items()}


@given(histories())
def test_each_day_has_the_baskets_that_were_not_taken_back(rows: list[Row]) -> None:
    columns = {name: np.zeros(len(rows), kind) for name, kind in ACTIVITY_COLUMNS.items()}
    for name, place in (("member", 0), ("day", 1), ("base_points", 2), ("base_points_before", 3)):
        columns[name] = np.array([row[place] for row in rows], ACTIVITY_COLUMNS[name])

    found = member_days(columns, np.arange(MEMBERS, dtype=np.int32))

    bounds = found.base_offsets.tolist()
    baskets = {
        (member, day): sorted(found.bases[start:end].tolist())
        for member, day, start, end in zip(
            found.member.tolist(), found.day.tolist(), bounds, bounds[1:], strict=False
        )
    }
    assert baskets == expected(rows)
    assert list(baskets) == sorted(baskets)
