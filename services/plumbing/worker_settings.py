"""What a service's worker is configured by."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class AmqpSettings(BaseSettings):
    """Where RabbitMQ is."""

    model_config = SettingsConfigDict(env_prefix="AMQP_", frozen=True)

    url: str = Field(pattern=r"^amqps?://")


class WorkerSettings(BaseSettings):
    """What every worker needs; a service subclasses it with its own prefix and port."""

    model_config = SettingsConfigDict(frozen=True)

    database_url: str = Field(pattern=r"^postgresql\+psycopg2://")
    worker_metrics_port: int = Field(ge=0, le=65535)
    # Events RabbitMQ hands out before the first of them is applied.
    worker_prefetch: int = Field(default=50, ge=1, le=1_000)
    # How long an outbox keeps events that were relayed.
    outbox_retention_days: int = Field(default=30, ge=1, le=3_650)
