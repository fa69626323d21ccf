"""What stands around a message within another, for those that are written by the thousand.

A serialized message is its fields one after the other, so what is often the same can be written
once, and parts that protobuf wrote be put together. See
https://protobuf.dev/programming-guides/encoding/
"""

from functools import lru_cache

_LENGTH_DELIMITED = 2
_MORE = 0x80


def field(number: int, content: bytes) -> bytes:
    """A field that is a message, a string or bytes."""
    return _head(number, len(content)) + content


@lru_cache(maxsize=4_096)
def _head(number: int, length: int) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(length)


def _varint(value: int) -> bytes:
    """Seven bits to a byte, the lowest first."""
    written = bytearray()
    while value >= _MORE:
        written.append(value & (_MORE - 1) | _MORE)
        value >>= 7
    written.append(value)
    return bytes(written)
