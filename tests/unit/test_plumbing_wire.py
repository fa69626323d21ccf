"""Parts of a message that are put together read as the message that protobuf writes at once."""

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileOptions
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from services.plumbing import wire

# Of one and of two bytes are the numbers, and so are the lengths.
TEXTS = st.text(max_size=20) | st.text(min_size=100, max_size=400)


@given(first=TEXTS, second=TEXTS)
def test_fields_put_together_are_what_protobuf_writes(first: str, second: str) -> None:
    written = FileOptions(java_package=first, swift_prefix=second).SerializeToString()
    assert written == b"".join(
        [
            wire.field(FileOptions.JAVA_PACKAGE_FIELD_NUMBER, first.encode()),
            wire.field(FileOptions.SWIFT_PREFIX_FIELD_NUMBER, second.encode()),
        ]
    )


@given(names=st.lists(TEXTS), syntax=TEXTS, dependencies=st.lists(st.integers(0, 2**31 - 1)))
def test_contents_are_those_of_the_fields_of_a_number(
    names: list[str], syntax: str, dependencies: list[int]
) -> None:
    message = FileDescriptorProto(
        dependency=names, syntax=syntax, weak_dependency=dependencies, options=FileOptions()
    )
    written = message.SerializeToString()
    found = wire.reader_of(FileDescriptorProto.DEPENDENCY_FIELD_NUMBER)(written)
    assert [each.decode() for each in found] == names


@pytest.mark.parametrize("message", [b"\xff\xff", b"\x1a\x05ab", b"\x1f", b"\x80" * 11])
def test_what_is_no_message_has_no_contents(message: bytes) -> None:
    read = wire.reader_of(3)
    with pytest.raises(DecodeError):
        read(message)
