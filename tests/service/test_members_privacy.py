"""What never reaches a log, an error or a table."""

import logging
import re

import grpc
import pytest
from loyalty.members.v1 import members_pb2

from tests.service.contents import contents
from tests.service.members_calls import Members
from tests.service.members_together import Together
from tests.service.refusals import refused

RAW = "4111111111111111"
WRITTEN = ["4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111"]
PERSONAL = ["ada@example.com", "Ada", "Lovelace", "446681800", "Countess"]


def shown(caplog: pytest.LogCaptureFixture) -> str:
    """All that was logged, whatever a formatter would leave out."""
    return "\n".join(f"{record.__dict__} {record.getMessage()}" for record in caplog.records)


@pytest.mark.parametrize("written", WRITTEN)
async def test_raw_card_number_is_refused_and_appears_nowhere(
    members: Members, caplog: pytest.LogCaptureFixture, written: str
) -> None:
    enrolled = await members.enrol(card_token="card-1")
    before = contents(members.database_url)
    with caplog.at_level(logging.DEBUG):
        refusals = [
            await refused(members.enrol(card_token=written)),
            await refused(members.issue_card(enrolled.name, written)),
            await refused(members.replace_card("card-1", written)),
            await refused(members.replace_card(written, "card-2")),
            await refused(members.block_card(written)),
            await refused(members.find(card_token=written)),
        ]
    assert {(each.code, each.reason) for each in refusals} == {
        (grpc.StatusCode.INVALID_ARGUMENT, "RAW_CARD_NUMBER")
    }
    assert contents(members.database_url) == before
    for text in (shown(caplog), repr(refusals), repr(contents(members.database_url))):
        assert RAW not in re.sub(r"[^0-9]", "", text)


async def test_no_personal_data_is_logged(
    members: Members, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        enrolled = await members.enrol(
            given_name="Ada", family_name="Lovelace", email="ada@example.com", phone="+41446681800"
        )
        await refused(members.enrol(email="ada@example.com"))
        await refused(members.enrol(phone="446681800"))
        await refused(members.enrol(given_name="Countess" * 20))
        await members.update(members_pb2.Member(name=enrolled.name, given_name="Countess"))
        await members.find(email="ada@example.com")
        together = Together(members)
        blocking = {"name": enrolled.name, "reason": "Lovelace said so"}
        await together.ask("BlockMember", **blocking)
        await together.ask("UnblockMember", name=enrolled.name)
        invitation = await together.invite((await together.household(enrolled.name)).name)
        await refused(together.ask("AcceptInvitation", member=enrolled.name, code=invitation.code))
        await together.erase(enrolled.name)
    assert any("IDENTITY_TAKEN" in str(record.__dict__) for record in caplog.records)
    for personal in (*PERSONAL, invitation.code):
        assert personal not in shown(caplog)
