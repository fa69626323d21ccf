"""Tills, apps, families and a care agent through a Saturday, on the platform of a data directory.

`python -m loadtests.load` makes such a directory and starts Locust with this file.
"""

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import grpc.experimental.gevent
from locust import LoadTestShape, events
from locust.env import Environment

from loadtests.tills import saturday
from loadtests.tills.app import App
from loadtests.tills.care_agent import CareAgent
from loadtests.tills.family import Family
from loadtests.tills.outcome import Failure, Outcome, Requests
from loadtests.tills.till import Till
from loadtests.tills.world import enter

# gRPC waits in C, where gevent cannot switch; from here on, before any channel, it waits gevent's
# way.
grpc.experimental.gevent.init_gevent()

SPAWNED_PER_SECOND_MIN = 2.0
USERS = (Till, App, Family, CareAgent)


class Saturday(LoadTestShape):
    """As many users as the hour has."""

    def tick(self) -> tuple[int, float] | None:
        options: Any = self.runner.environment.parsed_options if self.runner else None
        users = saturday.users_at(
            time.perf_counter() - self.start_time, options.day_seconds, options.users_max
        )
        if users is None:
            return None
        return users, max(SPAWNED_PER_SECOND_MIN, float(options.users_max))


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="a running platform's directory")
    parser.add_argument("--users-max", type=int, required=True, help="users at the busiest hour")
    parser.add_argument("--day-seconds", type=float, required=True, help="how long Saturday lasts")
    parser.add_argument("--outcome", type=Path, required=True, help="the JSON file to write")


def open_world(environment: Environment, **_: object) -> None:
    enter(_options(environment).data)


def write_outcome(environment: Environment, **_: object) -> None:
    """What Locust counted. The exit code is for its own accidents: failures are in the file."""
    stats = environment.stats
    outcome = Outcome(
        requests=[
            Requests(
                name=name,
                count=entry.num_requests,
                failures=entry.num_failures,
                p50_ms=entry.get_response_time_percentile(0.50),
                p95_ms=entry.get_response_time_percentile(0.95),
                p99_ms=entry.get_response_time_percentile(0.99),
            )
            for (name, _method), entry in sorted(stats.entries.items())
        ],
        failures=[
            Failure(error.name, str(error.error), error.occurrences)
            for error in stats.errors.values()
        ],
    )
    outcome.save(_options(environment).outcome)


def _options(environment: Environment) -> Any:
    return environment.parsed_options


# Locust's hooks are not typed.
hooks: Any = events
hooks.init_command_line_parser.add_listener(add_options)
hooks.test_start.add_listener(open_world)
hooks.quitting.add_listener(write_outcome)
