"""The members service's configuration."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.plumbing.config import ServerSettings
from services.plumbing.worker_settings import WorkerSettings


class MembersSettings(ServerSettings):
    model_config = SettingsConfigDict(env_prefix="MEMBERS_", frozen=True)

    grpc_address: str = Field(default="127.0.0.1:7101", pattern=r"^[^:]*:\d+$")
    metrics_port: int = Field(default=7201, ge=0, le=65535)


class MembersWorkerSettings(WorkerSettings):
    model_config = SettingsConfigDict(env_prefix="MEMBERS_", frozen=True)

    worker_metrics_port: int = Field(default=7291, ge=0, le=65535)
