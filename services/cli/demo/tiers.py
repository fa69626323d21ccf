"""The demo's tiers: the rule set `classic`, and the close of every day by it."""

from collections.abc import Mapping
from contextlib import ExitStack
from datetime import date
from types import TracebackType

from loyalty.tiering.v1 import rules_pb2, rules_pb2_grpc

from services.cli.demo.enrolment import ENROL_TIME
from services.cli.demo.requests import request_id
from services.cli.hearing import HEAR_SECONDS_MAX, POLL_SECONDS, Hearing
from services.cli.night_tiers import TiersStep
from services.plumbing.grpc_client import bearer, channel

CALL_SECONDS_MAX = 60.0
GROUP = "tierGroups/status"
MONTHS = 12
FIRST_DAY = ENROL_TIME.date()
# Code, name, qualifying points in twelve months, multiplier.
TIERS = (
    ("member", "Member", 0, "1"),
    ("silver", "Silver", 500, "1.1"),
    ("gold", "Gold", 1_500, "1.25"),
    ("platinum", "Platinum", 4_000, "1.5"),
)


def classic() -> rules_pb2.Rules:
    """Rolling twelve months of qualifying points; kept twelve months, then one step down."""
    return rules_pb2.Rules(
        name="classic",
        tiers=[_tier(*tier) for tier in TIERS],
        window=rules_pb2.Window(rolling_months=rules_pb2.RollingMonths(months=MONTHS)),
        keeping=rules_pb2.Keeping(months=rules_pb2.KeptMonths(months=MONTHS)),
        evaluation=rules_pb2.Rules.EVALUATION_AT_CLOSE,
        downgrade=rules_pb2.Rules.DOWNGRADE_ONE_STEP,
    )


def _tier(code: str, name: str, points: int, multiplier: str) -> rules_pb2.Tier:
    bar = rules_pb2.Bar(attain=rules_pb2.Requirement(points=points)) if points else None
    return rules_pb2.Tier(
        code=code,
        name=name,
        bar=bar,
        benefits=rules_pb2.Benefits(earn_multiplier=multiplier),
    )


def publish_classic(*, tiering_address: str, token: str, effective_day: date = FIRST_DAY) -> None:
    """Publish the rules from a day on, the programme's first; published before, they stay."""
    metadata = bearer(token)
    with channel(tiering_address, seconds_max=CALL_SECONDS_MAX) as opened:
        rule_sets = rules_pb2_grpc.RuleSetServiceStub(opened)
        draft = rule_sets.CreateDraft(
            rules_pb2.CreateDraftRequest(
                request_id=request_id("rules", "classic"), group=GROUP, rules=classic()
            ),
            metadata=metadata,
        ).rule_set
        rule_sets.PublishRuleSet(
            rules_pb2.PublishRuleSetRequest(
                name=draft.name,
                etag=draft.etag,
                effective_day=effective_day.isoformat(),
                reason="The programme starts.",
            ),
            metadata=metadata,
        )


class TierDays:
    """The step that closes a day in tiering, when all of the day is known there.

    A context manager. The next day opens when the tills' ledger knows what the close decided.
    """

    def __init__(
        self, *, tiering_address: str, token: str, database_urls: Mapping[str, str], bus: str = ""
    ) -> None:
        self._step = TiersStep(
            address=tiering_address,
            token=token,
            tiering_database_url=database_urls["tiering"],
            ledger_database_url=database_urls["ledger"],
            bus=bus,
            call_seconds_max=CALL_SECONDS_MAX,
            hear_seconds_max=HEAR_SECONDS_MAX,
            poll_seconds=POLL_SECONDS,
        )
        self._changes = Hearing(
            consumer="ledger",
            consumer_url=database_urls["ledger"],
            source="tiering",
            source_url=database_urls["tiering"],
            bus=bus,
        )
        self._opened = ExitStack()

    def __enter__(self) -> "TierDays":
        self._opened.enter_context(self._step)
        self._opened.enter_context(self._changes)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._opened.__exit__(kind, error, traceback)

    def __call__(self, day: date) -> None:
        if self._step.close_day(day).tier_changes:
            self.wait_until_tills_know()

    def wait_until_tills_know(self) -> None:
        """Wait until the ledger has applied every tier change that was announced."""
        self._changes.wait()
