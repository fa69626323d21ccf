"""The published contract: what breaks it is found, what adds to it is not held against anybody."""

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorSet

from protos.published import PUBLISHED, breaks


def message(files: FileDescriptorSet, name: str) -> DescriptorProto:
    return next(found for file in files.file for found in file.message_type if found.name == name)


def published() -> FileDescriptorSet:
    return FileDescriptorSet.FromString(PUBLISHED.read_bytes())


def test_the_contract_does_not_break_itself() -> None:
    assert breaks(PUBLISHED.read_bytes(), PUBLISHED.read_bytes()) == ""


def test_a_field_that_is_taken_away_or_changed_breaks_it() -> None:
    files = published()
    fields = message(files, "CardIssued").field
    del fields[1]
    fields[0].type = fields[0].TYPE_BYTES
    found = breaks(files.SerializeToString(), PUBLISHED.read_bytes())
    assert 'field "2" with name "card_token" on message "CardIssued" was deleted' in found
    assert 'Field "1" with name "member" on message "CardIssued" changed type' in found


def test_a_field_that_is_added_does_not() -> None:
    files = published()
    added = message(files, "CardIssued").field.add(name="added", number=90, json_name="added")
    added.type, added.label = added.TYPE_STRING, added.LABEL_OPTIONAL
    assert breaks(files.SerializeToString(), PUBLISHED.read_bytes()) == ""
