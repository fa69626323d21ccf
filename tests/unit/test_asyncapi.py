"""The AsyncAPI document tells of every event, and of all that an event is made of."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from protos import asyncapi
from protos.asyncapi import ENVELOPE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("docs")
    asyncapi.main([str(made)])
    return made


@pytest.fixture(scope="module")
def document(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "events.asyncapi.json").read_text())
    return read


def test_every_event_and_no_part_of_one_has_its_message(document: dict[str, Any]) -> None:
    names = set(document["components"]["messages"])
    assert {
        "loyalty.members.v1.CardIssued",
        "loyalty.members.v1.MemberEnrolled",
        "loyalty.ledger.v1.EntriesPosted",
        "loyalty.ledger.v1.WalletAttached",
    } <= names
    assert "loyalty.ledger.v1.PostedEntry" not in names
    assert "loyalty.ledger.v1.PostedEntry" in document["components"]["schemas"]


def test_every_service_that_announces_has_its_exchange(document: dict[str, Any]) -> None:
    for source, channel in document["channels"].items():
        assert channel["address"] == f"{source}.events"
        assert channel["bindings"]["amqp"]["exchange"]["name"] == f"{source}.events"
        for reference in channel["messages"].values():
            assert reference["$ref"].startswith(f"#/components/messages/loyalty.{source}.")


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)))
    assert f"components/schemas/{ENVELOPE}" in references
    for reference in references:
        found: Any = document
        for part in reference.split("/"):
            found = found[part]


def test_fields_are_said_as_in_the_source(document: dict[str, Any]) -> None:
    envelope = document["components"]["schemas"][ENVELOPE]["properties"]
    assert envelope["id"] == {
        "type": "string",
        "description": "Unique for its source; a consumer applies an id once.",
        "x-protobuf-number": 1,
    }
    assert envelope["time"]["format"] == "date-time"


def test_the_page_names_every_event_and_needs_nothing_else(
    folder: Path, document: dict[str, Any]
) -> None:
    page = (folder / "events.html").read_text()
    for name in document["components"]["messages"]:
        assert f'id="{name}"' in page
    assert "<script" not in page
    assert "http" not in page
