"""Where a page of a list by time ended, newest first."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.plumbing.pages import PageTokenInvalid, page_token, read_page_token

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def page_after(time: datetime, listed: UUID) -> str:
    """A page token of the last that was listed."""
    return page_token((time - EPOCH) // MICROSECOND, str(listed))


def read_place(token: str) -> tuple[datetime, UUID] | None:
    """Where the last page ended; None for the first. Refuses: PageTokenInvalid."""
    keys = read_page_token(token, int, str)
    if keys is None:
        return None
    try:
        return EPOCH + int(keys[0]) * MICROSECOND, UUID(str(keys[1]))
    except (OverflowError, ValueError):
        raise PageTokenInvalid from None
