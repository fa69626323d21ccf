"""`loyalty night`: what is done when business days are over.

The steps are done for each open day in turn, in the order of their list. Each step knows for itself
which days it has done, so whatever interrupts a night, the next one goes on from there.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Protocol

import grpc
import typer
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.exc import OperationalError

from services.cli.hearing import NotHeard
from services.cli.night_points import ACTIVATE_PENDING, EXPIRE_LOTS, RELEASE_HOLDS, PointsSteps
from services.cli.night_tiers import TiersStep
from services.cli.run_file import NothingRuns, RunningPlatform
from services.cli.tokens import mint
from services.plumbing.config import read

DAY = timedelta(days=1)
SCOPE = "days.read days.write"
TOKEN_SECONDS = 86_400


class Step(Protocol):
    """One of the things that are done for a day that is over. Safe to repeat."""

    @property
    def name(self) -> str: ...

    def first_open_day(self) -> date | None:
        """The first day this is still to be done for; None while there is nothing to do."""

    def close(self, day: date) -> str:
        """Do it for a day, those before it being done; says in a few words what came of it."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a step did for a day."""

    day: str
    step: str
    result: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.day}  {self.step}: {self.result}  ({self.seconds:.1f} s)"


def close_days(steps: Sequence[Step], last_day: date) -> Iterator[Done]:
    """Do what is still to be done for the days up to the last, telling each thing when done."""
    open_days = [(step, step.first_open_day()) for step in steps]
    day = min((first for _, first in open_days if first is not None), default=last_day + DAY)
    while day <= last_day:
        for step, first in open_days:
            if first is not None and first <= day:
                began = time.monotonic()
                result = step.close(day)
                yield Done(day.isoformat(), step.name, result, round(time.monotonic() - began, 3))
        day += DAY


class NightSettings(BaseSettings):
    """What a night needs that runs apart from `loyalty up`."""

    model_config = SettingsConfigDict(frozen=True)

    ledger_grpc_address: str = Field(pattern=r"^[^:]+:\d+$")
    tiering_grpc_address: str = Field(pattern=r"^[^:]+:\d+$")
    # How far tiering is behind the ledger is the difference of what the two keep.
    ledger_database_url: str = Field(pattern=r"^postgresql\+psycopg2://")
    tiering_database_url: str = Field(pattern=r"^postgresql\+psycopg2://")
    # Opens the scopes days.read and days.write.
    night_token: SecretStr = Field(min_length=1)


def settings_of(platform: RunningPlatform) -> NightSettings:
    """What a night on a running platform needs, with a token of its development issuer."""
    token = mint(
        platform.data_dir,
        subject="operators/night",
        scope=SCOPE,
        stores=[],
        lifetime_seconds=TOKEN_SECONDS,
    )
    return NightSettings(
        ledger_grpc_address=platform.grpc_address("ledger"),
        tiering_grpc_address=platform.grpc_address("tiering"),
        ledger_database_url=platform.database_urls["ledger"],
        tiering_database_url=platform.database_urls["tiering"],
        night_token=SecretStr(token),
    )


@contextmanager
def opened_steps(settings: NightSettings) -> Iterator[Sequence[Step]]:
    """The steps of a night, in their order: points that become available count before tiers are
    decided, those of members who keep a tier expire by its rules.
    """
    token = settings.night_token.get_secret_value()
    with (
        PointsSteps(address=settings.ledger_grpc_address, token=token) as points,
        TiersStep(
            address=settings.tiering_grpc_address,
            token=token,
            tiering_database_url=settings.tiering_database_url,
            ledger_database_url=settings.ledger_database_url,
        ) as tiers,
    ):
        yield [points[ACTIVATE_PENDING], tiers, points[EXPIRE_LOTS], points[RELEASE_HOLDS]]


def yesterday() -> date:
    return datetime.now(UTC).date() - DAY


def run(data_dir: Path, last_day: date | None, *, as_json: bool) -> None:
    """Close days on a running platform, yesterday the last where none is given, and print a
    report. Ends with exit code 1 and a line when it cannot.
    """
    try:
        platform = RunningPlatform.load(data_dir)
    except NothingRuns as refused:
        _fail(str(refused))
    _run(settings_of(platform), last_day or yesterday(), as_json=as_json)


def _run(settings: NightSettings, last_day: date, *, as_json: bool) -> None:
    if last_day > yesterday():
        _fail(f"{last_day} is not over")
    say: Callable[[Done], None] = (lambda _: None) if as_json else (lambda done: _say(str(done)))
    done: list[Done] = []
    problem = ""
    try:
        with opened_steps(settings) as steps:
            for each in close_days(steps, last_day):
                done.append(each)
                say(each)
    except grpc.RpcError as error:
        known = isinstance(error, grpc.Call)
        problem = f"{error.code().name}: {error.details()}" if known else str(error)
    except NotHeard as refused:
        problem = str(refused)
    except OperationalError as error:
        problem = f"a database does not answer: {error.orig}"
    if as_json:
        content = {"through": last_day.isoformat(), "done": [asdict(each) for each in done]}
        typer.echo(json.dumps(content | ({"error": problem} if problem else {}), indent=2))
    if problem:
        _fail(problem)
    if not as_json:
        days = len({each.day for each in done})
        closed = f"{days} closed now" if days else "nothing was open"
        _say(f"all days through {last_day} are closed, {closed}")


def _say(line: str) -> None:
    typer.echo(line)
    # Whoever follows the log sees how far it got.
    sys.stdout.flush()


def _fail(problem: str) -> None:
    typer.echo(f"loyalty night: {problem}", err=True)
    raise typer.Exit(1)


def main() -> None:
    """A night configured by the environment."""
    try:
        _run(read(NightSettings), yesterday(), as_json=False)
    except typer.Exit as ended:
        sys.exit(ended.exit_code)


if __name__ == "__main__":
    main()
