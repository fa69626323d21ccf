"""Parts of a message that are put together read as the message that protobuf writes at once."""

from google.protobuf.descriptor_pb2 import FileOptions
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
