"""The tiering service's configuration."""

from decimal import Decimal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.plumbing.config import ServerSettings
from services.plumbing.worker_settings import WorkerSettings


class TieringSettings(ServerSettings):
    model_config = SettingsConfigDict(env_prefix="TIERING_", frozen=True)

    grpc_address: str = Field(default="127.0.0.1:7103", pattern=r"^[^:]*:\d+$")
    metrics_port: int = Field(default=7203, ge=0, le=65535)
    # A publication that demotes a larger share of the members needs the share confirmed.
    demoted_share_max: Decimal = Field(default=Decimal("0.05"), ge=0, le=1)
    # How much less than the tills' a preview's claim to the processor is: 0 equal, 19 least.
    preview_niceness: int = Field(default=19, ge=0, le=19)


class TieringWorkerSettings(WorkerSettings):
    model_config = SettingsConfigDict(env_prefix="TIERING_", frozen=True)

    worker_metrics_port: int = Field(default=7293, ge=0, le=65535)


class PreviewSettings(BaseSettings):
    """What the process of a preview needs; its server tells it."""

    model_config = SettingsConfigDict(env_prefix="TIERING_", frozen=True)

    database_url: str = Field(pattern=r"^postgresql\+psycopg2://")
    preview_niceness: int = Field(default=19, ge=0, le=19)
