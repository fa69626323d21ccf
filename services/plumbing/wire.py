"""What stands around a message within another, for those that are written by the thousand.

A serialized message is its fields one after the other, so what is often the same can be written
once, and parts that protobuf wrote be put together. See
https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

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


def reader_of(number: int) -> Callable[[bytes], Sequence[bytes]]:
    """Reads what stands in the fields of a number that are messages, strings or bytes, and leaves
    it as bytes. What it makes refuses: DecodeError.
    """
    field = FieldDescriptorProto(
        name="contents",
        number=number,
        type=FieldDescriptorProto.TYPE_BYTES,
        label=FieldDescriptorProto.LABEL_REPEATED,
    )
    name = "Unread"
    pool = DescriptorPool()
    pool.Add(
        FileDescriptorProto(
            name="unread.proto",
            syntax="proto3",
            message_type=[DescriptorProto(name=name, field=[field])],
        )
    )
    # Made as it runs, so nothing is known of what it has.
    unread: Any = GetMessageClass(pool.FindMessageTypeByName(name))
    return lambda message: unread.FromString(message).contents
