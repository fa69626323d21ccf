"""The year at the tills: day after day, each one closed before the next opens."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from functools import partial
from typing import Protocol

from loyalty.ledger.v1 import earn_policy_pb2_grpc

from services.cli.demo.policy import publications
from services.cli.demo.preparation import PreparedDay
from services.plumbing.grpc_client import bearer, channel

CALL_SECONDS_MAX = 30.0

# What closes a day; runs after the day's last sale is recorded, in the order of the list, and may
# run again for a day whose closing was interrupted.
CloseStep = Callable[[date], object]


class RecordsDays(Protocol):
    def record_day(self, day: PreparedDay) -> None: ...


def publish_policies(*, ledger_address: str, token: str) -> None:
    """Publish the demo's policy versions; those published before stay as they are."""
    with channel(ledger_address) as opened:
        policies = earn_policy_pb2_grpc.EarnPolicyServiceStub(opened)
        for request in publications():
            policies.PublishEarnPolicy(request, timeout=CALL_SECONDS_MAX, metadata=bearer(token))


def replay_days(
    days: Iterable[PreparedDay],
    tills: RecordsDays,
    close_steps: Sequence[CloseStep],
) -> None:
    """Record each day's sales, then close the day."""
    for day in days:
        tills.record_day(day)
        close_day(day.day, close_steps)


def in_turn(*steps: CloseStep) -> CloseStep:
    """One step of several, each of which waits for the one before."""
    return partial(close_day, steps=steps)


@contextmanager
def together(*steps: CloseStep) -> Iterator[CloseStep]:
    """One step of several that have nothing to do with each other: they run side by side."""
    with ThreadPoolExecutor(len(steps), thread_name_prefix="close") as pool:

        def all_steps(day: date) -> None:
            for running in [pool.submit(step, day) for step in steps]:
                running.result()

        yield all_steps


def close_day(day: date, steps: Sequence[CloseStep]) -> None:
    for step in steps:
        step(day)
