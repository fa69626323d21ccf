"""Pages of a listing by keyset (AIP-158): the token carries where the last page ended."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import TypeVar

from services.plumbing.errors import Invalid

# What the database's bigint takes; a token that says more was not made here.
WHOLE_NUMBER_MAX = 2**63 - 1

Row = TypeVar("Row")


class PageTokenInvalid(Invalid):
    reason = "PAGE_TOKEN_INVALID"

    def __init__(self) -> None:
        super().__init__("the page token is not one of ours")


def page_size(asked: int, *, default: int, most: int) -> int:
    """The size to use: the default for zero, the most when more is asked."""
    return min(asked or default, most)


def page_token(*keys: int | str) -> str:
    """An opaque token of the last row's keys."""
    return base64.urlsafe_b64encode(json.dumps(keys).encode()).decode()


def next_page_token(
    found: Sequence[Row], size: int, key: Callable[[Row], int | str | tuple[int | str, ...]]
) -> str:
    """The token that ends a page, of rows read up to one more than its size; empty on the last."""
    if len(found) <= size:
        return ""
    last = key(found[size - 1])
    return page_token(*last) if isinstance(last, tuple) else page_token(last)


def read_page_token(token: str, *types: type) -> tuple[int | str, ...] | None:
    """The keys in a token; None for the first page. Refuses: PageTokenInvalid."""
    if not token:
        return None
    try:
        keys = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (binascii.Error, UnicodeError, json.JSONDecodeError):
        keys = None
    if not isinstance(keys, list) or [type(key) for key in keys] != list(types) or _is_huge(keys):
        raise PageTokenInvalid
    return tuple(keys)


def _is_huge(keys: list[int | str]) -> bool:
    return any(isinstance(key, int) and abs(key) > WHOLE_NUMBER_MAX for key in keys)
