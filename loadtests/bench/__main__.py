"""Measures side by side in one run, prints a table and writes bench.json."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from loadtests.bench import report
from loadtests.bench.bus import fresh_bus
from loadtests.bench.carrying import measure_catch_up, measure_lag
from loadtests.bench.crew import crew_for
from loadtests.bench.found import Found
from loadtests.bench.keys import KEYS, NAMES, Contestant, Stage, needed
from loadtests.bench.measurement import Measurement, compare_growth
from loadtests.bench.nightly import measure_night
from loadtests.bench.plan import FULL, QUICK, Plan
from loadtests.bench.previewing import TimeMachine
from loadtests.bench.redeeming import measure_redeeming, open_desk, with_rewards
from loadtests.bench.replay import replay_fresh
from loadtests.bench.subject import fresh_subject


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="KEY", default=NAMES)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--output", type=Path, default=Path("bench.json"))
    arguments = parser.parse_args()
    progress = Console(stderr=True, highlight=False)
    plan = QUICK if arguments.quick else FULL
    found, settings = _run(needed(frozenset(arguments.only)), plan, progress)
    names = [key.name for key in KEYS if key.name in arguments.only]
    report.save(report.document(found, plan=plan, names=names, settings=settings), arguments.output)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    if settings:
        console.print(", ".join(f"{name} {value}" for name, value in settings.items()))
    console.print(report.table_of(found, names))
    if found.turns or found.grown:
        console.print(report.shares_table(found))
    if sentence := report.noise(found):
        console.print(f"[yellow]{sentence}[/]")
    for remark in report.remarks(found):
        console.print(f"[yellow]{remark}[/]")
    console.print(f"written to {arguments.output}")


def _run(
    needs: frozenset[Contestant | Stage], plan: Plan, progress: Console
) -> tuple[Found, dict[str, str]]:
    found, settings = Found(), dict[str, str]()
    if needs & {*Contestant, Stage.GROWTH}:
        found, settings = _measure(needs, plan, progress)
    if needs & {Stage.LAG, Stage.CATCH_UP}:
        settings = _follow_events(needs, plan, progress, found)
    if needs & {Stage.PREVIEW, Stage.BESIDE_PREVIEW}:
        settings = _preview(needs, plan, progress, found)
    if Stage.REDEEM in needs:
        settings = _redeem(plan, progress, found)
    if Stage.NIGHT in needs:
        settings = _night(plan, progress, found)
    if Stage.REPLAY in needs:
        progress.print("the year's replay")
        found.replay = replay_fresh()
    return found, settings


def _measure(
    needs: frozenset[Contestant | Stage], plan: Plan, progress: Console
) -> tuple[Found, dict[str, str]]:
    progress.print("a fresh platform")
    with fresh_subject(plan.wallets) as subject, crew_for(subject) as crew:
        processes = ", ".join(f"{name} {pids}" for name, pids in subject.process_ids.items())
        progress.print(f"processes: {processes}")
        settings = subject.settings()
        contestants = [contestant for contestant in Contestant if contestant in needs]
        measurement = Measurement(subject, crew, plan, progress.print)
        found = measurement.run(contestants)
        if Stage.GROWTH in needs:
            # Side by side, so that a machine whose speed drifts meanwhile tells nothing.
            progress.print("a fresh platform that stays empty")
            with fresh_subject(plan.wallets) as fresh, crew_for(fresh) as others:
                empty = Measurement(fresh, others, plan, progress.print)
                compare_growth(empty, measurement, plan.rounds, found, progress.print)
        return found, settings


def _follow_events(
    needs: frozenset[Contestant | Stage], plan: Plan, progress: Console, found: Found
) -> dict[str, str]:
    progress.print("a fresh platform on RabbitMQ")
    with fresh_bus(plan.wallets) as bus, crew_for(bus.subject) as crew:
        if Stage.LAG in needs:
            found.lag = measure_lag(bus, crew, plan, progress.print)
        if Stage.CATCH_UP in needs:
            found.catch_up = measure_catch_up(bus, crew, plan, progress.print)
        return bus.subject.settings()


def _preview(
    needs: frozenset[Contestant | Stage], plan: Plan, progress: Console, found: Found
) -> dict[str, str]:
    progress.print("a fresh platform with a membership")
    with (
        fresh_subject(plan.wallets) as subject,
        crew_for(subject) as crew,
        TimeMachine(subject, plan, progress.print).ready() as machine,
    ):
        if Stage.PREVIEW in needs:
            found.preview = machine.preview()
        if Stage.BESIDE_PREVIEW in needs:
            found.beside = machine.beside(crew)
        return subject.settings()


def _redeem(plan: Plan, progress: Console, found: Found) -> dict[str, str]:
    progress.print("a fresh platform with a reward")
    with fresh_subject(plan.wallets) as started:
        subject = with_rewards(started)
        with crew_for(subject, open_desk(subject)) as crew:
            found.redeemed = measure_redeeming(subject, crew, plan, progress.print)
        return subject.settings()


def _night(plan: Plan, progress: Console, found: Found) -> dict[str, str]:
    progress.print("a fresh platform with many lots")
    with fresh_subject(plan.wallets) as subject, crew_for(subject) as crew:
        found.night = measure_night(subject, crew, plan, progress.print)
        return subject.settings()


if __name__ == "__main__":
    main()
