"""`loyalty up` on RabbitMQ: events reach the ledger, and operators see and mend them."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from amqp.basic_message import Message
from typer.testing import Result

from loadtests.broker import Broker
from services.cli import events
from services.cli.run_file import RunningPlatform
from services.cli.status import read as read_status
from services.plumbing import rabbitmq as on_broker
from services.plumbing.inbox import Parked
from tests.faults.programme import Programme
from tests.journeys import terminal
from tests.processes import wait_for

LOYALTY = (sys.executable, "-m", "services.cli")
CARD_ISSUED = "loyalty.members.v1.CardIssued"
HEAR_OF_MEMBERS = {"ledger", "tiering", "rewards"}


@pytest.fixture
def platform(running_on_rabbitmq: Programme) -> RunningPlatform:
    running_on_rabbitmq.wait_until_healthy()
    return running_on_rabbitmq.platform


def loyalty(platform: RunningPlatform, *arguments: str) -> Result:
    return terminal.loyalty(*arguments, "--data", str(platform.data_dir))


def answered(platform: RunningPlatform, *arguments: str) -> dict[str, Any]:
    ended = loyalty(platform, *arguments)
    assert ended.exit_code == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def status(platform: RunningPlatform) -> dict[str, Any]:
    return answered(platform, "status", "--json")


def tailed(platform: RunningPlatform, *arguments: str, count: int) -> list[dict[str, Any]]:
    """The first lines of `loyalty events tail`."""
    command = [*LOYALTY, "events", "tail", *arguments, "--data", str(platform.data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [json.loads(process.stdout.readline()) for _ in range(count)]
        process.terminate()
    return lines


def parked(platform: RunningPlatform) -> list[Parked]:
    with events.databases(platform.data_dir) as engines:
        return events.parked(engines)


def test_every_service_has_its_worker_and_all_is_healthy(platform: RunningPlatform) -> None:
    found = status(platform)
    assert found["healthy"] is True
    names = [process["name"] for process in found["processes"]]
    assert "bus" not in names
    assert {"members-worker", "ledger-worker"} <= set(names)
    read = {(lag["consumer"], lag["source"]) for lag in found["bus"]}
    assert {("relay", "members"), ("relay", "ledger"), ("ledger", "members")} <= read


def test_an_enrolment_reaches_the_ledger_and_can_be_followed(platform: RunningPlatform) -> None:
    request = '{"given_name": "Ada", "card_token": "tok-0042"}'
    member = answered(platform, "call", "EnrolMember", request)["member"]["name"]
    [issued] = tailed(platform, "--from-start", "--type", "CardIssued", count=1)
    assert issued["source"] == "members"
    assert issued["type"] == CARD_ISSUED
    assert issued["data"] == {"member": member, "cardToken": "tok-0042"}
    # It is announced once the ledger has applied the event.
    [attached] = tailed(platform, "--from-start", "--type", "WalletAttached", count=1)
    assert attached["source"] == "ledger"
    assert attached["data"]["member"] == member


def test_what_cannot_be_applied_is_listed_and_tried_again_on_demand(
    platform: RunningPlatform, rabbitmq: Broker
) -> None:
    assert parked(platform) == []
    with on_broker.connect(rabbitmq.url) as connection:
        exchange = on_broker.exchange_name("members")
        connection.default_channel.basic_publish(Message(b"\xff"), exchange, CARD_ISSUED)
    wait_for(lambda: len(parked(platform)) == len(HEAR_OF_MEMBERS), what="parked events")
    # Each of those who hear of members puts it aside for itself.
    shown = loyalty(platform, "events", "parked").stdout
    listed = loyalty(platform, "events", "parked", "--json").stdout.splitlines()
    found = [json.loads(line) for line in listed]
    assert {each["consumer"] for each in found} == HEAR_OF_MEMBERS
    for each in found:
        assert (each["source"], each["error"]) == ("members", "DecodeError")
        assert each["id"] in shown
    replayed = loyalty(platform, "events", "replay", found[0]["id"])
    assert replayed.exit_code == 1
    count = len(HEAR_OF_MEMBERS)
    assert replayed.stdout == f"{count} to apply again, {count} parked still\n"
    assert all(each.error.startswith("LookupError") for each in parked(platform))


def test_a_rewound_relay_tells_everything_again_and_it_changes_nothing(
    platform: RunningPlatform,
) -> None:
    before = tailed(platform, "--from-start", "--source", "ledger", count=1)
    rewound = loyalty(platform, "events", "rewind", "relay", "members")
    assert rewound.exit_code == 0
    assert rewound.stdout == "relay reads 1 streams of members from the beginning\n"
    wait_for(
        # What `loyalty status` says, without a process for every time it is asked.
        lambda: all(lag.events == 0 for lag in read_status(platform, now=time.time()).bus),
        what="all was told",
    )
    assert tailed(platform, "--from-start", "--source", "ledger", count=1) == before
    told = loyalty(platform, "events", "rewind", "ledger", "members")
    assert told.stderr == (
        "loyalty events: RabbitMQ tells ledger; rewind what tells RabbitMQ: relay members\n"
    )
    refused = loyalty(platform, "events", "rewind", "ledger", "ledger")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("loyalty events: ledger does not read ledger; there are: ")


def test_events_are_nobodys_where_nothing_runs(tmp_path: Path) -> None:
    ended = terminal.loyalty("events", "parked", "--data", str(tmp_path))
    assert ended.exit_code == 1
    assert ended.stderr.startswith(f"loyalty events: nothing runs on {tmp_path}")


def test_a_rabbitmq_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    ended = terminal.loyalty("up", "--data", str(tmp_path), "--port-base", "0", "--amqp", "rabbit")
    assert ended.exit_code == 2
    assert "amqp://" in ended.stderr
