"""Writes what partners subscribe by: an AsyncAPI 3.0 document of all events, and a page of it.

`python -m protos.asyncapi [FOLDER]` reads buf's image, which `make protos` builds; every event, its
fields and what is said of them come from the .proto files alone.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

from protos.asyncapi_page import page

ROOT = Path(__file__).parents[1]
IMAGE = ROOT / "stubs" / "image.binpb"
FOLDER = ROOT / "docs"
ENVELOPE = "plumbing.v1.Envelope"
OURS = ("loyalty.", "plumbing.")
# Numbers of the fields of a FileDescriptorProto and a DescriptorProto, which places in a source are
# named by.
MESSAGES, ENUMS, FIELDS = 4, 5, 2

Schema = dict[str, Any]
Kind = FieldDescriptorProto
SCALARS: dict[int, Schema] = {
    # 64 bits are text in JSON, for not every reader has so many.
    Kind.TYPE_INT64: {"type": "string", "format": "int64"},
    Kind.TYPE_UINT64: {"type": "string", "format": "uint64"},
    Kind.TYPE_INT32: {"type": "integer", "format": "int32"},
    Kind.TYPE_UINT32: {"type": "integer", "format": "uint32"},
    Kind.TYPE_FLOAT: {"type": "number", "format": "float"},
    Kind.TYPE_DOUBLE: {"type": "number", "format": "double"},
    Kind.TYPE_BOOL: {"type": "boolean"},
    Kind.TYPE_STRING: {"type": "string"},
    Kind.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
}
TIMESTAMP = ".google.protobuf.Timestamp"


@dataclass(frozen=True, slots=True)
class Event:
    """A message that is announced: what no other message of its file is made of."""

    file: FileDescriptorProto
    message: DescriptorProto
    description: str

    @property
    def type(self) -> str:
        return f"{self.file.package}.{self.message.name}"

    @property
    def source(self) -> str:
        """The service that announces it, as in loyalty.<service>.v1."""
        return str(self.file.package.split(".")[1])


def comment(file: FileDescriptorProto, *path: int) -> str:
    """What the source says of the thing at a path."""
    for location in file.source_code_info.location:
        if list(location.path) == list(path):
            return " ".join(location.leading_comments.split())
    return ""


def events(files: Sequence[FileDescriptorProto]) -> Iterator[Event]:
    for file in files:
        if not file.name.startswith("loyalty/") or not file.name.endswith("/events.proto"):
            continue
        parts = {field.type_name for message in file.message_type for field in message.field}
        for number, message in enumerate(file.message_type):
            if f".{file.package}.{message.name}" not in parts:
                yield Event(file, message, comment(file, MESSAGES, number))


def schemas(files: Sequence[FileDescriptorProto]) -> dict[str, Schema]:
    """A JSON Schema for every message and enumeration of ours, by its full name."""
    found: dict[str, Schema] = {}
    for file in files:
        if not file.package.startswith(OURS):
            continue
        for number, message in enumerate(file.message_type):
            found[f"{file.package}.{message.name}"] = _message(file, number, message)
        for number, enum in enumerate(file.enum_type):
            found[f"{file.package}.{enum.name}"] = {
                "type": "string",
                "description": comment(file, ENUMS, number),
                "enum": [value.name for value in enum.value],
            }
    return found


def _message(file: FileDescriptorProto, number: int, message: DescriptorProto) -> Schema:
    properties = {
        field.json_name: _field(field) | _said(comment(file, MESSAGES, number, FIELDS, place))
        for place, field in enumerate(message.field)
    }
    return {
        "type": "object",
        **_said(comment(file, MESSAGES, number)),
        "properties": properties,
        "x-protobuf-file": file.name,
    }


def _said(description: str) -> Schema:
    return {"description": description} if description else {}


def _field(field: FieldDescriptorProto) -> Schema:
    if field.type_name == TIMESTAMP:
        schema: Schema = {"type": "string", "format": "date-time"}
    elif field.type_name.startswith(tuple(f".{package}" for package in OURS)):
        schema = {"$ref": f"#/components/schemas/{field.type_name.removeprefix('.')}"}
    else:
        schema = dict(SCALARS.get(field.type, {"type": "object"}))
    if field.label == Kind.LABEL_REPEATED:
        schema = {"type": "array", "items": schema}
    return schema | {"x-protobuf-number": field.number}


def needed(names: Sequence[str], known: dict[str, Schema]) -> dict[str, Schema]:
    """The schemas of some names and of all that these refer to."""
    found: dict[str, Schema] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = known[name]
            text = json.dumps(known[name])
            waiting += [other for other in known if f'schemas/{other}"' in text]
    return dict(sorted(found.items()))


def document(image: FileDescriptorSet, version: str) -> dict[str, Any]:
    """The AsyncAPI document of an image."""
    found = sorted(events(image.file), key=lambda event: event.type)
    known = schemas(image.file)
    sources = sorted({event.source for event in found})
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Events of the loyalty platform",
            "version": version,
            "description": (
                "Each message is a protobuf plumbing.v1.Envelope with the attributes of"
                " CloudEvents 1.0; its data is the event that its type names. Delivery is at least"
                " once and in order for each subject: apply an id once."
            ),
        },
        "defaultContentType": "application/protobuf",
        "channels": {source: _channel(source, found) for source in sources},
        "operations": {
            f"receive-{source}": {
                "action": "receive",
                "channel": {"$ref": f"#/channels/{source}"},
                "summary": f"What {source} announces.",
            }
            for source in sources
        },
        "components": {
            "messages": {event.type: _announced(event) for event in found},
            "schemas": needed([ENVELOPE, *(event.type for event in found)], known),
        },
    }


def _channel(source: str, found: Sequence[Event]) -> Schema:
    exchange = {"name": f"{source}.events", "type": "topic", "durable": True, "autoDelete": False}
    return {
        "address": f"{source}.events",
        "description": "Bind a queue with the type of an event as the routing key.",
        "messages": {
            event.message.name: {"$ref": f"#/components/messages/{event.type}"}
            for event in found
            if event.source == source
        },
        "bindings": {"amqp": {"is": "routingKey", "exchange": exchange, "bindingVersion": "0.3.0"}},
    }


def _announced(event: Event) -> Schema:
    return {
        "name": event.type,
        "title": event.message.name,
        "summary": event.description,
        "contentType": "application/protobuf",
        "headers": {
            "type": "object",
            "properties": {
                "stream": {"type": "string", "description": "Order holds within a stream."},
                "position": {"type": "integer", "description": "Grows along a stream."},
            },
        },
        "payload": {
            "allOf": [{"$ref": f"#/components/schemas/{ENVELOPE}"}],
            "x-data": {"$ref": f"#/components/schemas/{event.type}"},
        },
        "bindings": {"amqp": {"messageType": event.type, "bindingVersion": "0.3.0"}},
        "x-routing-key": event.type,
    }


def main(arguments: Sequence[str]) -> None:
    folder = Path(arguments[0]) if arguments else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    made = document(FileDescriptorSet.FromString(IMAGE.read_bytes()), version="1")
    (folder / "events.asyncapi.json").write_text(json.dumps(made, indent=2) + "\n")
    (folder / "events.html").write_text(page(made))


if __name__ == "__main__":
    main(sys.argv[1:])
