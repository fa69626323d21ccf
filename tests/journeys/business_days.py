"""Business days of a running platform, and `loyalty night`, which closes them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from loyalty.tiering.v1 import rules_pb2, rules_pb2_grpc, tiering_pb2, tiering_pb2_grpc
from typer.testing import Result

from services.cli.demo.requests import request_id
from services.cli.demo.tiers import GROUP, classic
from services.cli.run_file import RunningPlatform
from services.cli.tokens import mint
from services.plumbing.grpc_client import bearer, channel
from tests.journeys.terminal import loyalty


def day(ago: int) -> str:
    return (datetime.now(UTC).date() - timedelta(days=ago)).isoformat()


def night(data: Path, *arguments: str) -> Result:
    return loyalty("night", "--data", str(data), *arguments)


def closed(data: Path, *arguments: str) -> list[str]:
    """The days that a night closed."""
    ended = night(data, "--json", *arguments)
    assert ended.exit_code == 0, ended.stderr
    return [done["day"] for done in json.loads(ended.stdout)["done"]]


def token(data: Path, scope: str) -> tuple[tuple[str, str], ...]:
    minted = mint(data, subject="tester", scope=scope, stores=[], lifetime_seconds=600)
    return bearer(minted)


def publish(platform: RunningPlatform, effective_day: str) -> None:
    metadata = token(platform.data_dir, "rules.write rules.publish")
    with channel(platform.grpc_address("tiering"), seconds_max=60) as opened:
        rule_sets = rules_pb2_grpc.RuleSetServiceStub(opened)
        draft = rule_sets.CreateDraft(
            rules_pb2.CreateDraftRequest(
                request_id=request_id("rules", "night"), group=GROUP, rules=classic()
            ),
            metadata=metadata,
        ).rule_set
        request = rules_pb2.PublishRuleSetRequest(
            name=draft.name, etag=draft.etag, effective_day=effective_day, reason="It begins."
        )
        rule_sets.PublishRuleSet(request, metadata=metadata)


def first_open_day(platform: RunningPlatform) -> str:
    with channel(platform.grpc_address("tiering"), seconds_max=60) as opened:
        answer = tiering_pb2_grpc.TierServiceStub(opened).GetDay(
            tiering_pb2.GetDayRequest(day=day(1)), metadata=token(platform.data_dir, "days.read")
        )
    return answer.first_open_day
