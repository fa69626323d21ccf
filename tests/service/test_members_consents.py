"""Consents: the record only grows, and the last said is in force."""

import grpc
from loyalty.members.v1 import events_pb2

from tests.service.contents import contents
from tests.service.members_calls import Members, consent, moment
from tests.service.refusals import refused

EARLY, LATE = moment("2026-01-01T00:00:00Z"), moment("2026-02-01T00:00:00Z")


async def test_withdrawn_consent_is_in_force_and_the_given_one_on_record(members: Members) -> None:
    given = consent(time=EARLY)
    enrolled = await members.enrol(consents=[given])
    withdrawn = consent(granted=False, time=LATE, method="spoken", source="store 31")
    assert await members.record_consent(enrolled.name, withdrawn) == withdrawn
    member = await members.get(enrolled.name)
    assert list(member.consents) == [withdrawn]
    assert member.etag != enrolled.etag
    assert list((await members.list_consents(enrolled.name)).consents) == [withdrawn, given]
    last = events_pb2.ConsentChanged.FromString(members.announced()[-1].data)
    assert last == events_pb2.ConsentChanged(
        member=enrolled.name, purpose="marketing", channel="email", granted=False, time=LATE
    )


async def test_consent_that_arrives_late_is_on_record_but_not_in_force(members: Members) -> None:
    withdrawn = consent(granted=False, time=LATE)
    enrolled = await members.enrol(consents=[withdrawn])
    announced = members.announced()
    await members.record_consent(enrolled.name, consent(time=EARLY))
    assert await members.get(enrolled.name) == enrolled
    assert len((await members.list_consents(enrolled.name)).consents) == 2
    assert members.announced() == announced


async def test_the_same_consent_again_changes_nothing(members: Members) -> None:
    enrolled = await members.enrol()
    await members.record_consent(enrolled.name, consent(time=EARLY))
    await members.record_consent(enrolled.name, consent(granted=False, time=EARLY))
    before = contents(members.database_url)
    for granted in (True, False):
        await members.record_consent(enrolled.name, consent(granted=granted, time=EARLY))
    assert contents(members.database_url) == before


async def test_renewed_yes_is_on_record_but_not_announced(members: Members) -> None:
    enrolled = await members.enrol(consents=[consent(time=EARLY)])
    announced = members.announced()
    renewed = consent(time=LATE)
    await members.record_consent(enrolled.name, renewed)
    assert list((await members.get(enrolled.name)).consents) == [renewed]
    assert members.announced() == announced


async def test_purposes_and_channels_have_answers_of_their_own(members: Members) -> None:
    said = [
        consent(channel="sms"),
        consent(purpose="profiling", channel="any", granted=False),
        consent(),
    ]
    enrolled = await members.enrol(consents=said)
    assert list(enrolled.consents) == [said[2], said[0], said[1]]


async def test_consent_of_the_future_is_refused(members: Members) -> None:
    enrolled = await members.enrol()
    before = contents(members.database_url)
    refusal = await refused(
        members.record_consent(enrolled.name, consent(time=moment("2999-01-01T00:00:00Z")))
    )
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TIME_IN_FUTURE")
    assert refusal.fields == ("consent.time",)
    assert contents(members.database_url) == before


async def test_consent_of_nobody_is_refused(members: Members) -> None:
    name = "members/00000000-0000-4000-8000-000000000000"
    for call in (members.record_consent(name, consent()), members.list_consents(name)):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "MEMBER_NOT_FOUND")


async def test_consent_without_its_proof_is_refused(members: Members) -> None:
    enrolled = await members.enrol()
    before = contents(members.database_url)
    for field in ("purpose", "channel", "method", "source"):
        refusal = await refused(members.record_consent(enrolled.name, consent(**{field: ""})))
        assert refusal.fields == (f"consent.{field}",)
    assert contents(members.database_url) == before
