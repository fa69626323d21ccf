"""A preview over a large membership: how long it takes, and what it takes from the tills."""

import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import psutil
from loyalty.tiering.v1 import rules_pb2, rules_pb2_grpc

from loadtests.bench.crew import Crew
from loadtests.bench.generator import Call
from loadtests.bench.membership import DAYS, load_members
from loadtests.bench.plan import BULK_IN_FLIGHT, FIRST_GUESS, UNARY_IN_FLIGHT, Plan
from loadtests.bench.subject import Subject
from services.cli.demo.requests import request_id
from services.cli.demo.tiers import GROUP, classic
from services.plumbing.database import engine
from services.plumbing.grpc_client import bearer, channel

MEMBERS = 1_000_000
GOLD_POINTS = 1_200
PREVIEW_SECONDS_MAX = 1_800.0
POLL_SECONDS = 0.02
KILOBYTE = 1024
MEBIBYTE = 1024 * 1024
EPOCH = date(1970, 1, 1)

Say = Callable[[str], None]


class TooShort(Exception):  # noqa: N818 — says what happened
    """The preview ended before the tills' first round beside it did."""


@dataclass(frozen=True, slots=True)
class Previewed:
    """A preview of every member under other rules, two years of days replayed."""

    members: int
    rows: int
    seconds: float
    # Of the preview's own process.
    processor_seconds: float
    peak_memory_bytes: int
    members_up: int
    members_down: int

    @property
    def seconds_of_a_million(self) -> float:
        """In proportion, where there were fewer members."""
        return self.seconds * MEMBERS / self.members


@dataclass(frozen=True, slots=True)
class Beside:
    """The tills' rates in rounds before a preview and while it ran, in calls per second."""

    before: tuple[float, ...]
    meanwhile: tuple[float, ...]
    preview_core_share: float

    @property
    def share(self) -> float:
        return statistics.median(self.meanwhile) / statistics.median(self.before)


class TimeMachine:
    """Tiering with a membership, rules in force since its first day, and a draft beside them."""

    def __init__(self, subject: Subject, plan: Plan, say: Say) -> None:
        self._subject, self._plan, self._say = subject, plan, say
        self._server = psutil.Process(subject.platform.process("tiering").pid)
        self._today = datetime.now(UTC).date()
        self._rows = 0
        self._draft = ""

    @contextmanager
    def ready(self) -> Iterator["TimeMachine"]:
        """The membership is there while the block runs."""
        address = self._subject.platform.grpc_address("tiering")
        with channel(address, seconds_max=PREVIEW_SECONDS_MAX) as opened:
            self._rule_sets = rules_pb2_grpc.RuleSetServiceStub(opened)
            self._metadata = bearer(self._subject.token)
            self._publish()
            self._load()
            yield self

    def preview(self) -> Previewed:
        """From the call to its last answer."""
        start = time.monotonic()
        with ThreadPoolExecutor(1, thread_name_prefix="watch") as pool:
            watched: Future[tuple[float, int]] = pool.submit(self._watch)
            answers = self._rule_sets.PreviewRules(self._request(), metadata=self._metadata)
            last = [answer for answer in answers if answer.WhichOneof("answer") == "preview"][-1]
        seconds = time.monotonic() - start
        processor_seconds, peak_memory = watched.result()
        found = Previewed(
            members=last.preview.members_done,
            rows=self._rows,
            seconds=seconds,
            processor_seconds=processor_seconds,
            peak_memory_bytes=peak_memory,
            members_up=last.preview.members_up,
            members_down=last.preview.members_down,
        )
        self._say(
            f"preview of {found.members:,} members, {found.rows:,} rows: {found.seconds:.1f} s,"
            f" {found.processor_seconds:.1f} s of them on a processor, at most"
            f" {found.peak_memory_bytes / MEBIBYTE:,.0f} MiB, {found.members_up:,} up,"
            f" {found.members_down:,} down"
        )
        return found

    def beside(self, crew: Crew) -> Beside:
        """Tills' rounds without and with a preview. Refuses: TooShort."""
        if not crew.sales_acknowledged:
            crew.record_first_sales(self._subject.wallets, in_flight=BULK_IN_FLIGHT)
        self._subject.settle()
        rounds = self._plan.rounds
        sales_per_second(crew, self._plan)
        before = [sales_per_second(crew, self._plan) for _ in range(rounds)]
        per_round = max(*before, FIRST_GUESS[Call.SALE]) * (self._plan.seconds + 1)
        # So that no time is lost on it once the preview runs.
        crew.prepare(Call.SALE, int(per_round * rounds))
        meanwhile: list[float] = []
        core_share = 0.0
        with self._running_preview() as process:
            start = time.monotonic()
            while len(meanwhile) < rounds:
                rate = sales_per_second(crew, self._plan, ready=0)
                spent_seconds = _processor_seconds(process)
                if spent_seconds is None:
                    break
                meanwhile.append(rate)
                cores = psutil.cpu_count() or 1
                core_share = spent_seconds / (time.monotonic() - start) / cores
        if not meanwhile:
            raise TooShort
        found = Beside(tuple(before), tuple(meanwhile), core_share)
        self._say(
            f"tills {statistics.median(before):,.0f}/s before,"
            f" {statistics.median(meanwhile):,.0f}/s while a preview ran on"
            f" {core_share:.0%} of the cores"
        )
        return found

    def _publish(self) -> None:
        first_day = self._today - timedelta(days=DAYS)
        draft = self._create_draft("in force", classic())
        self._rule_sets.PublishRuleSet(
            rules_pb2.PublishRuleSetRequest(
                name=draft.name,
                etag=draft.etag,
                effective_day=first_day.isoformat(),
                reason="The programme starts.",
            ),
            metadata=self._metadata,
        )
        rules = classic()
        gold = next(tier for tier in rules.tiers if tier.code == "gold")
        gold.bar.attain.points = GOLD_POINTS
        self._draft = self._create_draft("draft", rules).name

    def _create_draft(self, name: str, rules: rules_pb2.Rules) -> rules_pb2.RuleSet:
        request = rules_pb2.CreateDraftRequest(
            request_id=request_id("bench", name), group=GROUP, rules=rules
        )
        return self._rule_sets.CreateDraft(request, metadata=self._metadata).rule_set

    def _load(self) -> None:
        self._say(f"{self._plan.member_slices} slices of a membership of {self._plan.members:,}")
        tiering = engine(self._subject.platform.database_urls["tiering"], pool_size=2)
        try:
            first_day = (self._today - EPOCH).days - DAYS
            self._rows = load_members(
                tiering,
                self._plan.members,
                slices=self._plan.member_slices,
                first_day=first_day,
            )
        finally:
            tiering.dispose()

    def _request(self) -> rules_pb2.PreviewRulesRequest:
        start = rules_pb2.PreviewStart(rule_set=self._draft, effective_day=self._today.isoformat())
        return rules_pb2.PreviewRulesRequest(preview=start)

    @contextmanager
    def _running_preview(self) -> Iterator[psutil.Process]:
        """The process of a preview that has begun; stopped at the end of the block."""
        answers: Any = self._rule_sets.PreviewRules(self._request(), metadata=self._metadata)
        # The call is read on: unread answers would hold the server up.
        with ThreadPoolExecutor(1, thread_name_prefix="read") as pool:
            pool.submit(_read_on, answers)
            try:
                yield self._process()
            finally:
                answers.cancel()

    def _process(self) -> psutil.Process:
        deadline = time.monotonic() + PREVIEW_SECONDS_MAX
        while time.monotonic() < deadline:
            for child in self._server.children():
                with suppress(psutil.NoSuchProcess):
                    if "services.tiering" in child.cmdline() and "preview" in child.cmdline():
                        return child
            time.sleep(POLL_SECONDS)
        raise TimeoutError("no preview began")

    def _watch(self) -> tuple[float, int]:
        """What the preview's process spent until its end, and the most memory it ever had."""
        process = self._process()
        spent_seconds, peak = 0.0, 0
        while (now := peak_memory_bytes(process.pid)) is not None:
            peak = max(peak, now)
            spent_seconds = _processor_seconds(process) or spent_seconds
            time.sleep(POLL_SECONDS)
        return spent_seconds, peak


def sales_per_second(crew: Crew, plan: Plan, *, ready: int | None = None) -> float:
    """A round of sales one by one. ready is how many are made beforehand; enough when None."""
    if ready is None:
        ready = int(FIRST_GUESS[Call.SALE] * (plan.seconds + 1))
    return crew.measure(
        Call.SALE, in_flight=UNARY_IN_FLIGHT, seconds=plan.seconds, ready=ready
    ).calls_per_second


def peak_memory_bytes(pid: int) -> int | None:
    """What the kernel remembers of a process's resident memory; None once it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    found = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    kilobytes = next(found, None)
    return None if kilobytes is None else int(kilobytes) * KILOBYTE


def _processor_seconds(process: psutil.Process) -> float | None:
    """What a process has spent; None once it has ended."""
    try:
        times, status = process.cpu_times(), process.status()
    except psutil.NoSuchProcess:
        return None
    # One whose end nobody has asked for has spent what it spent, and does nothing more.
    return None if status == psutil.STATUS_ZOMBIE else times.user + times.system


def _read_on(answers: Any) -> None:
    with suppress(grpc.RpcError):
        for _ in answers:
            pass
