"""Points in time between Python and Protobuf, to the microsecond."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from services.plumbing.errors import FieldViolation, Invalid


def timestamp(time: datetime) -> Timestamp:
    converted = Timestamp()
    converted.FromDatetime(time)
    return converted


def read_timestamp(stamp: Timestamp, *, field: str) -> datetime:
    """In UTC. Refuses: Invalid, where it lies outside the years 1 to 9999."""
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        violation = FieldViolation(field, "must be a time from year 1 to 9999")
        raise Invalid(f"{field}: {violation.description}", violations=[violation]) from None
