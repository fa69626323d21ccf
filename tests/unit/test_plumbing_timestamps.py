"""Points in time, to the microsecond."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from services.plumbing.errors import Invalid
from services.plumbing.timestamps import read_timestamp, timestamp


@given(st.datetimes(timezones=st.just(UTC)))
def test_time_comes_back_as_it_was(time: datetime) -> None:
    assert read_timestamp(timestamp(time), field="time") == time


def test_time_of_another_zone_is_the_same_instant() -> None:
    zurich = timezone(timedelta(hours=1))
    there = datetime(2026, 1, 1, 1, tzinfo=zurich)
    assert read_timestamp(timestamp(there), field="time") == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "stamp",
    [Timestamp(seconds=10**15), Timestamp(seconds=-(10**12)), Timestamp(nanos=-1)],
)
def test_time_that_is_none_is_refused_by_its_field(stamp: Timestamp) -> None:
    with pytest.raises(Invalid) as refusal:
        read_timestamp(stamp, field="enrol_time")
    assert [violation.field for violation in refusal.value.violations] == ["enrol_time"]
