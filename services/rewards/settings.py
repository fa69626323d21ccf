"""The rewards service's configuration."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.plumbing.config import ServerSettings
from services.plumbing.worker_settings import WorkerSettings


class RewardsSettings(ServerSettings):
    model_config = SettingsConfigDict(env_prefix="REWARDS_", frozen=True)

    grpc_address: str = Field(default="127.0.0.1:7104", pattern=r"^[^:]*:\d+$")
    metrics_port: int = Field(default=7204, ge=0, le=65535)
    # The private keys that vouchers are signed with, as a JSON Web Key Set; where there is no such
    # file, it is made with one key. Servers of one programme need the same.
    signing_keys_file: Path
    # Where the ledger answers, and a file with the token for it, read again as it changes.
    ledger_address: str = Field(default="127.0.0.1:7102", pattern=r"^[^:]+:\d+$")
    ledger_token_file: Path
    # For how long a till may take the use of a voucher back.
    voucher_undo_hours: int = Field(default=24, ge=0, le=24 * 366)


class RewardsWorkerSettings(WorkerSettings):
    model_config = SettingsConfigDict(env_prefix="REWARDS_", frozen=True)

    worker_metrics_port: int = Field(default=7294, ge=0, le=65535)


class RewardsMigrationSettings(BaseSettings):
    """What a migration needs: neither keys nor the ledger."""

    model_config = SettingsConfigDict(env_prefix="REWARDS_", frozen=True)

    database_url: str = Field(pattern=r"^postgresql\+psycopg2://")
