"""The main job on real input: a year at the tills, killed on the way, resumed, worked out anew."""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb
import psycopg2
import pytest
from google.protobuf import json_format
from loyalty.ledger.v1 import ledger_pb2, ledger_pb2_grpc
from loyalty.members.v1 import members_pb2, members_pb2_grpc
from loyalty.tiering.v1 import rules_pb2, rules_pb2_grpc

from services.cli.demo.tier_results import read_tier_results
from services.cli.platform import running_platform
from services.cli.run_file import RunningPlatform
from services.cli.tokens import mint
from services.plumbing.grpc_client import bearer, channel
from tests.disk import spare_the_disk
from tests.journeys import spending_by_hand, tiers_by_hand, year_by_hand
from tests.journeys.spending_by_hand import SpendingByHand
from tests.journeys.tiers_by_hand import TiersByHand
from tests.journeys.year_by_hand import YearByHand
from tests.processes import wait_for

pytestmark = pytest.mark.timeout(900)

OLD_SALES_ALLOWED = {"LEDGER_SALE_AGE_DAYS_MAX": "36500"}
KILLED_AFTER = date(2017, 1, 25)
LAST_DAY = date(2018, 1, 1)
CALL_SECONDS_MAX = 60.0
DAYS_SENT_TWICE = timedelta(days=5)


@dataclass(frozen=True)
class Replayed:
    """A year replayed in two runs that overlap by some days, and its platform, still up."""

    platform: RunningPlatform
    last_day_before_the_kill: date
    printed: dict[str, object]

    def token(self, scope: str) -> tuple[tuple[str, str], ...]:
        token = mint(
            self.platform.data_dir, subject="test", scope=scope, stores=[], lifetime_seconds=600
        )
        return bearer(token)


@pytest.fixture(scope="module")
def baskets() -> Iterator[duckdb.DuckDBPyConnection]:
    with year_by_hand.opened_baskets() as connection:
        yield connection


@pytest.fixture(scope="module")
def by_hand(baskets: duckdb.DuckDBPyConnection) -> YearByHand:
    return year_by_hand.work_out(baskets)


@pytest.fixture(scope="module")
def tiers(baskets: duckdb.DuckDBPyConnection) -> TiersByHand:
    return tiers_by_hand.work_out(baskets)


@pytest.fixture(scope="module")
def spending(baskets: duckdb.DuckDBPyConnection, tiers: TiersByHand) -> SpendingByHand:
    return spending_by_hand.work_out(baskets, tiers)


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replayed]:
    data = tmp_path_factory.mktemp("year")
    kill_replay_on_the_way(data)
    killed_after = last_closed_day(data)
    forget_days(data, until=killed_after - DAYS_SENT_TWICE)
    with running_platform(data, environment=OLD_SALES_ALLOWED) as platform:
        spare_the_disk(platform.database_urls["ledger"])
        yield Replayed(platform, killed_after, replay_to_the_end(data))


def replay_command(data: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "services.cli", "replay"),
        *("--data", str(data), "--port-base", "0"),
    ]


def kill_replay_on_the_way(data: Path) -> None:
    """Start a replay with a platform of its own and kill it with no chance to tidy up."""

    def is_on_its_way() -> bool:
        assert process.poll() is None, "the replay ended by itself"
        return last_closed_day(data) >= KILLED_AFTER

    def is_released() -> bool:
        platform = RunningPlatform.last(data)
        return platform is None or not platform.is_alive()

    with subprocess.Popen(replay_command(data), stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(is_on_its_way, what="the replay's first days", seconds=300)
        finally:
            process.kill()
    wait_for(is_released, what="the end of the killed replay's platform", seconds=120)


def forget_days(data: Path, *, until: date) -> None:
    """Let the replay believe that it got no further than that, so that it sends days again."""
    progress = {"last_closed_day": until.isoformat(), "replay_seconds": 1.0}
    (data / "replay.json").write_text(json.dumps(progress))


def replay_to_the_end(data: Path) -> dict[str, object]:
    """Replay what is left, and return what the last line says."""
    done = subprocess.run(replay_command(data), stdout=subprocess.PIPE, check=True, timeout=800)
    printed: dict[str, object] = json.loads(done.stdout.decode().splitlines()[-1])
    return printed


def last_closed_day(data: Path) -> date:
    try:
        progress = json.loads((data / "replay.json").read_text())
    except FileNotFoundError:
        return date.min
    return date.fromisoformat(progress["last_closed_day"])


def test_killed_replay_resumes_and_closes_every_day_left(replayed: Replayed) -> None:
    assert KILLED_AFTER <= replayed.last_day_before_the_kill < LAST_DAY
    assert last_closed_day(replayed.platform.data_dir) == LAST_DAY


def test_last_line_has_the_totals_worked_out_by_hand(
    replayed: Replayed, by_hand: YearByHand, tiers: TiersByHand, spending: SpendingByHand
) -> None:
    printed = dict(replayed.printed)
    seconds = [printed.pop(key) for key in ("replay_seconds", "sales_per_second", "total_seconds")]
    assert all(isinstance(value, float) and value > 0 for value in seconds)
    assert printed == {
        "sales": by_hand.sales,
        "lines": by_hand.lines,
        "members": len(by_hand.wallets),
        "points_issued": by_hand.redeemable + sum(tiers.added.values()),
        "produce_points": by_hand.produce,
        # Each redemption is an entry, and so is what a wallet lost in a night.
        "entries": by_hand.entries
        + tiers.baskets_added_to
        + spending.redemptions
        + spending.expiries,
        "redeemed_points": spending.redeemed_points,
        "vouchers": spending.redemptions - spending.taken["tree-planted"],
        "expired_points": spending.expired_points,
        "liability_points": sum(spending.left.values()),
        "tiers": tiers.households,
        "tier_changes": tiers.change_count,
        "audit_ok": True,
    }


def test_every_household_has_the_balance_worked_out_by_hand(
    replayed: Replayed, by_hand: YearByHand, spending: SpendingByHand
) -> None:
    assert wallets_by_household(replayed) == {
        household: (spending.left[household], qualifying)
        for household, (_, qualifying) in by_hand.wallets.items()
    }


def test_sales_sent_again_after_the_kill_are_in_the_journal_once(
    replayed: Replayed, by_hand: YearByHand
) -> None:
    assert journal_counts(replayed) == (by_hand.sales, by_hand.sales)


def test_a_preview_says_what_the_year_comes_to_under_a_draft_and_publishing_gives_just_that(
    replayed: Replayed, baskets: duckdb.DuckDBPyConnection, tiers: TiersByHand
) -> None:
    preview = preview_of(replayed, "gold=1200")
    under_draft = tiers_by_hand.work_out(baskets, (0, 500, 1_200, 4_000))
    assert sums(preview, "from_tier") == tiers.households
    assert sums(preview, "to_tier") == under_draft.households
    assert preview.cost_in_force.extra_points == sum(tiers.added.values())
    assert preview.cost_draft.extra_points == sum(under_draft.added.values())
    publish(replayed, preview)
    published = read_tier_results(replayed.platform.database_urls["tiering"])
    assert published.tiers == under_draft.households


def preview_of(replayed: Replayed, threshold: str) -> rules_pb2.Preview:
    """What `loyalty preview` prints."""
    command = [
        *(sys.executable, "-m", "services.cli", "preview", threshold, "--json"),
        *("--data", str(replayed.platform.data_dir)),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=300)
    return json_format.Parse(done.stdout, rules_pb2.Preview())


def sums(preview: rules_pb2.Preview, side: str) -> dict[str, int]:
    """Members by tier, on one side of the matrix."""
    found = dict.fromkeys(preview.tiers_draft, 0)
    for move in preview.matrix:
        found[getattr(move, side)] += move.members
    return found


def publish(replayed: Replayed, preview: rules_pb2.Preview) -> None:
    """Publish the draft of a preview, as it was previewed."""
    token = replayed.token("rules.read rules.publish")
    with channel(replayed.platform.grpc_address("tiering"), seconds_max=300) as opened:
        rule_sets = rules_pb2_grpc.RuleSetServiceStub(opened)
        draft = rule_sets.GetRuleSet(
            rules_pb2.GetRuleSetRequest(name=preview.rule_set), metadata=token
        ).rule_set
        rule_sets.PublishRuleSet(
            rules_pb2.PublishRuleSetRequest(
                name=draft.name,
                etag=draft.etag,
                effective_day=preview.effective_day,
                replay_from_day=preview.replay_from_day,
                reason="Gold is nearer.",
                confirmed_demoted_share=preview.demoted_share,
            ),
            timeout=300,
            metadata=token,
        )


def wallets_by_household(replayed: Replayed) -> dict[int, tuple[int, int]]:
    """Available and qualifying points as the ledger answers for each member."""
    households = households_by_member(replayed)
    token = replayed.token("wallets.read")
    with (
        channel(replayed.platform.grpc_address("ledger"), seconds_max=CALL_SECONDS_MAX) as opened,
        ThreadPoolExecutor(16) as pool,
    ):
        ledger = ledger_pb2_grpc.LedgerServiceStub(opened)

        def wallet_of(member: str) -> ledger_pb2.Wallet:
            request = ledger_pb2.GetWalletRequest(name=f"{member}/wallet")
            return ledger.GetWallet(request, timeout=CALL_SECONDS_MAX, metadata=token).wallet

        return {
            households[wallet.member]: (wallet.available, wallet.qualifying)
            for wallet in pool.map(wallet_of, households)
        }


def households_by_member(replayed: Replayed) -> dict[str, int]:
    found: dict[str, int] = {}
    token = replayed.token("members.read")
    address = replayed.platform.grpc_address("members")
    with channel(address, seconds_max=CALL_SECONDS_MAX) as opened:
        members = members_pb2_grpc.MembersServiceStub(opened)
        page_token = ""
        while True:
            page = members.ListMembers(
                members_pb2.ListMembersRequest(page_size=500, page_token=page_token),
                timeout=CALL_SECONDS_MAX,
                metadata=token,
            )
            for member in page.members:
                (card,) = member.cards
                found[member.name] = int(card.card_token.removeprefix("hh-"))
            page_token = page.next_page_token
            if not page_token:
                return found


def journal_counts(replayed: Replayed) -> tuple[int, int]:
    """Documents in the journals of both shards, and distinct receipts among them."""
    url = replayed.platform.database_urls["ledger"].replace("+psycopg2", "")
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*), count(DISTINCT receipt_number) FROM"
                " (SELECT receipt_number FROM ledger_00.journal"
                "  WHERE type = 1 UNION ALL"
                "  SELECT receipt_number FROM ledger_01.journal WHERE type = 1) AS journal"
            )
            row = cursor.fetchone()
    finally:
        connection.close()
    assert row is not None
    return row[0], row[1]
