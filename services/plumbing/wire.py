"""What stands around a message within another, for those that are written by the thousand.

A serialized message is its fields one after the other, so what is often the same can be written
once, and parts that protobuf wrote be put together. See
https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator
from functools import lru_cache

_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_MORE = 0x80
_VARINT_BYTES_MAX = 10


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


def contents(message: bytes, number: int) -> Iterator[bytes]:
    """What stands in the fields of a number that are messages, strings or bytes, each read when it
    is asked for. Refuses: ValueError.
    """
    place = 0
    while place < len(message):
        key, place = _read_varint(message, place)
        kind = key & 7
        if kind == _VARINT:
            _, place = _read_varint(message, place)
            continue
        if kind == _LENGTH_DELIMITED:
            length, place = _read_varint(message, place)
        elif (length := _FIXED_BYTES.get(kind, -1)) < 0:
            raise ValueError("no message")
        if place + length > len(message):
            raise ValueError("a message ends too soon")
        if key == number << 3 | _LENGTH_DELIMITED:
            yield message[place : place + length]
        place += length


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    """A number, and the place behind it."""
    value = shift = 0
    for byte in message[place : place + _VARINT_BYTES_MAX]:
        value |= (byte & (_MORE - 1)) << shift
        shift += 7
        place += 1
        if byte < _MORE:
            return value, place
    raise ValueError("a number ends too soon")
