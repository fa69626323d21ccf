"""The members service's configuration."""

from datetime import timedelta

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.members.usecases.invitations import Limits
from services.plumbing.config import ServerSettings
from services.plumbing.worker_settings import WorkerSettings


class MembersSettings(ServerSettings):
    model_config = SettingsConfigDict(env_prefix="MEMBERS_", frozen=True)

    grpc_address: str = Field(default="127.0.0.1:7101", pattern=r"^[^:]*:\d+$")
    metrics_port: int = Field(default=7201, ge=0, le=65535)
    # How many members one may turn out to be.
    merged_members_max: int = Field(default=50, ge=2, le=1_000)
    household_members_max: int = Field(default=20, ge=2, le=1_000)
    # Open at a time, of one household.
    household_invitations_max: int = Field(default=20, ge=1, le=1_000)
    household_invitation_days: int = Field(default=14, ge=1, le=365)
    # For so long a request that is sent again gets its first answer.
    requests_kept_days: int = Field(default=90, ge=1, le=3_660)

    @property
    def limits(self) -> Limits:
        """What bounds households and the invitations into them."""
        return Limits(
            members_most=self.household_members_max,
            invitations_most=self.household_invitations_max,
            invitation_life=timedelta(days=self.household_invitation_days),
        )


class MembersWorkerSettings(WorkerSettings):
    model_config = SettingsConfigDict(env_prefix="MEMBERS_", frozen=True)

    worker_metrics_port: int = Field(default=7291, ge=0, le=65535)
