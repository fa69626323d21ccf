"""`loyalty replay`: a real grocery chain's year at the tills, then the proof of the books."""

import signal
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path
from typing import NoReturn

import grpc
import psutil
import typer
from rich.console import Console

from services.cli.audit import as_text, run_audit
from services.cli.demo.catalogue import publish_catalogue
from services.cli.demo.dataset import Year
from services.cli.demo.display import Outcome, follow, show_summary, show_where_to_look
from services.cli.demo.enrolment import enrol, wait_until_attached
from services.cli.demo.failure import ReplayError
from services.cli.demo.preparation import PreparedDay, prepared_days
from services.cli.demo.progress import ClosedDays, ProgressFile
from services.cli.demo.redeeming import RedeemDays, Shoppers, members_by_household
from services.cli.demo.replay import (
    CloseStep,
    in_turn,
    publish_policies,
    replay_days,
    together,
)
from services.cli.demo.results import read_results
from services.cli.demo.tier_results import read_tier_results
from services.cli.demo.tiers import TierDays, publish_classic
from services.cli.demo.tills import Tills
from services.cli.demo.voucher_results import count_vouchers
from services.cli.hearing import NotHeard
from services.cli.night_points import EXPIRE_LOTS, PointsSteps
from services.cli.platform import PlatformFailed, running_platform
from services.cli.run_file import RunningPlatform
from services.cli.tokens import mint

DAY = timedelta(days=1)
INTERRUPTED = 130
WATCH_SECONDS = 1.0
# The sales are years old; a till's clock that far back is a fault in any other programme.
# And its days are closed as it goes on, not by today's calendar.
ENVIRONMENT = {"LEDGER_SALE_AGE_DAYS_MAX": "36500", "LOYALTY_NIGHT": "no"}
TOKEN_SECONDS = 86_400


def run(data: Path, *, fresh: bool, stay: bool, port_base: int) -> None:
    """Replay what is not yet replayed, prove the books, and say what the year came to.

    Ends with exit code 1 and a line where it cannot, or where the books do not prove.
    """
    # SIGTERM ends it as Ctrl-C does: whatever was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(highlight=False, stderr=True)
    try:
        with _directory(data, fresh=fresh) as directory:
            outcome = _run(directory, port_base=port_base, stay=stay, console=console)
    except (ReplayError, PlatformFailed, NotHeard) as failed:
        _fail(str(failed))
    except grpc.RpcError as error:
        _fail(f"{error.code().name}: {error.details()}")
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    if not stay:
        typer.echo(outcome.as_json())
    if not outcome.audit_ok:
        raise typer.Exit(1)


def _run(directory: Path, *, port_base: int, stay: bool, console: Console) -> Outcome:
    year = Year()
    progress = ProgressFile(directory).read()
    first_day, last_day = year.days()
    if progress.last_closed_day is not None:
        first_day = progress.last_closed_day + DAY
    # The requests are prepared while the platform starts.
    with (
        _prepared(first_day, last_day) as days,
        _platform(directory, port_base=port_base, console=console) as platform,
    ):
        if progress.last_closed_day is None:
            _open_programme(platform, year.households(), console)
        if first_day <= last_day:
            total = (last_day - first_day).days + 1
            _replay(platform, follow(days, total=total, console=console))
        outcome = _outcome(platform, console)
        show_summary(outcome, console)
        if stay:
            show_where_to_look(platform, console)
            _wait_for_end(platform)
    return outcome


def _open_programme(platform: RunningPlatform, households: Sequence[int], console: Console) -> None:
    """Everything that is there before the first sale. Safe to repeat."""
    ledger_address = platform.grpc_address("ledger")
    console.print(f"enrolling {len(households):,} households")
    members = enrol(
        households,
        members_address=platform.grpc_address("members"),
        token=_token(platform, "demo/enrolment", "members.write"),
    )
    console.print("publishing the earn policy")
    publish_policies(
        ledger_address=ledger_address, token=_token(platform, "demo/marketing", "policies.write")
    )
    console.print("publishing the rewards")
    publish_catalogue(
        rewards_address=platform.grpc_address("rewards"),
        token=_token(platform, "demo/marketing", "rewards.write rewards.publish"),
    )
    console.print("publishing the tier rules")
    publish_classic(
        tiering_address=platform.grpc_address("tiering"),
        token=_token(platform, "demo/marketing", "rules.write rules.publish"),
    )
    console.print("waiting for the ledger to know every card")
    wait_until_attached(
        members, ledger_address=ledger_address, token=_token(platform, "demo/care", "wallets.read")
    )


def _replay(platform: RunningPlatform, days: Iterable[PreparedDay]) -> None:
    tier_days = TierDays(
        tiering_address=platform.grpc_address("tiering"),
        token=_token(platform, "demo/night", "days.write"),
        database_urls=platform.database_urls,
        bus=platform.doorbell,
    )
    shoppers = Shoppers()
    redeem_days = RedeemDays(
        shoppers,
        members_by_household(
            members_address=platform.grpc_address("members"),
            token=_token(platform, "demo/care", "members.read"),
        ),
        rewards_address=platform.grpc_address("rewards"),
        token=_token(platform, "demo/app", "rewards.redeem"),
    )
    points_steps = PointsSteps(
        address=platform.grpc_address("ledger"), token=_token(platform, "demo/night", "days.write")
    )
    token = _token(platform, "demo/tills", "sales.write")
    with (
        tier_days,
        redeem_days,
        points_steps,
        # No tier changes what a household gets or loses, and nothing of that changes a tier.
        together(in_turn(redeem_days, points_steps[EXPIRE_LOTS].close), tier_days) as close,
        Tills(shoppers, ledger_address=platform.grpc_address("ledger"), token=token) as tills,
    ):
        steps: list[CloseStep] = [close, ClosedDays(ProgressFile(platform.data_dir))]
        tills.require_old_sales_taken()
        # The rules' multipliers count from the first sale on.
        tier_days.wait_until_tills_know()
        replay_days(days, tills, steps)


def _outcome(platform: RunningPlatform, console: Console) -> Outcome:
    console.print("proving the books")
    database_url = platform.database_urls["ledger"]
    report = run_audit(database_url)
    if not report.ok:
        console.print(as_text(report))
    return Outcome(
        results=read_results(database_url),
        audit_ok=report.ok,
        tiers=read_tier_results(platform.database_urls["tiering"]),
        vouchers=count_vouchers(platform.database_urls["rewards"]),
        replay_seconds=ProgressFile(platform.data_dir).read().replay_seconds,
        total_seconds=time.time() - psutil.Process().create_time(),
    )


def _wait_for_end(platform: RunningPlatform) -> None:
    """Until Ctrl-C, which is the wanted end. Refuses: ReplayError when the platform ends itself."""
    with suppress(KeyboardInterrupt):
        while platform.is_alive():
            time.sleep(WATCH_SECONDS)
        raise ReplayError("the platform has ended")


@contextmanager
def _directory(data: Path, *, fresh: bool) -> Iterator[Path]:
    if not fresh:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="loyalty-demo-") as temporary:
        yield Path(temporary)


@contextmanager
def _prepared(first_day: date, last_day: date) -> Iterator[Iterator[PreparedDay]]:
    if first_day > last_day:
        yield iter(())
        return
    with prepared_days(first_day) as days:
        yield days


@contextmanager
def _platform(directory: Path, *, port_base: int, console: Console) -> Iterator[RunningPlatform]:
    """The platform of a directory: the one that runs, else one for the length of the block."""
    platform = RunningPlatform.last(directory)
    if platform is not None and platform.is_alive() and platform.ready:
        yield platform
        return
    console.print(f"starting the platform on {directory}")
    with running_platform(directory, port_base=port_base, environment=ENVIRONMENT) as started:
        yield started


def _token(platform: RunningPlatform, subject: str, scope: str) -> str:
    return mint(
        platform.data_dir,
        subject=subject,
        scope=scope,
        stores=["*"],
        lifetime_seconds=TOKEN_SECONDS,
    )


def _fail(message: str) -> NoReturn:
    typer.echo(f"loyalty replay: {message}", err=True)
    raise typer.Exit(1)
