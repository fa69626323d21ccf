"""The ledger's configuration."""

import json
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode, SettingsConfigDict

from services.ledger.domain.basket import MICROS_PER_SECOND
from services.ledger.domain.circumstances import Limits
from services.plumbing.config import ServerSettings
from services.plumbing.worker_settings import WorkerSettings

SECONDS_PER_HOUR = 3_600
SECONDS_PER_DAY = 86_400


def read_json(value: object) -> object:
    """What stands in a variable; a value that is one already stays. Refuses: ValueError."""
    return json.loads(value) if isinstance(value, str) else value


class LedgerSettings(ServerSettings):
    model_config = SettingsConfigDict(env_prefix="LEDGER_", frozen=True)

    grpc_address: str = Field(default="127.0.0.1:7102", pattern=r"^[^:]*:\d+$")
    metrics_port: int = Field(default=7202, ge=0, le=65535)
    # Fixed when the programme is created.
    shards: int = Field(default=2, ge=1, le=100)
    # How far back and ahead of now a till's clock may say it is.
    sale_age_days_max: int = Field(default=400, ge=1, le=40_000)
    sale_ahead_seconds_max: int = Field(default=300, ge=0, le=86_400)
    # Commands in one commit, and waiting for one, in each shard.
    batch_max: int = Field(default=500, ge=1, le=5_000)
    queue_max: int = Field(default=4_000, ge=1_000, le=100_000)
    # Each shard's committer is a process of its own; without, a thread of the server, which takes
    # less memory and gives less than half the rate.
    committer_processes: bool = True

    # JSON: how many points each role of a token's `roles` may give or take by hand alone, "*" being
    # whoever has the scope; what is above needs a second person.
    adjustment_limits: Annotated[
        dict[str, Annotated[int, Field(ge=0, le=1_000_000_000)]],
        NoDecode,
        BeforeValidator(read_json),
    ] = Field(default={"*": 10_000})
    # What the same person gave the same member alone counts together for so long.
    adjustment_window_hours: int = Field(default=24, ge=1, le=24 * 366)

    @property
    def adjustment_window(self) -> int:
        return self.adjustment_window_hours * SECONDS_PER_HOUR * MICROS_PER_SECOND

    @property
    def limits(self) -> Limits:
        return Limits(
            past=self.sale_age_days_max * SECONDS_PER_DAY * MICROS_PER_SECOND,
            future=self.sale_ahead_seconds_max * MICROS_PER_SECOND,
        )


class LedgerWorkerSettings(WorkerSettings):
    model_config = SettingsConfigDict(env_prefix="LEDGER_", frozen=True)

    worker_metrics_port: int = Field(default=7292, ge=0, le=65535)
