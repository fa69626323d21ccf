"""Typed configuration from the environment; a start with a wrong value ends with its name."""

from typing import TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

Settings = TypeVar("Settings", bound=BaseSettings)


class AuthSettings(BaseSettings):
    """Whose tokens are believed."""

    model_config = SettingsConfigDict(env_prefix="AUTH_", frozen=True)

    jwks_url: str = Field(pattern=r"^(https|http|file)://")
    issuer: str = Field(min_length=1)
    audience: str = Field(default="loyalty", min_length=1)


class LogSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="LOG_", frozen=True)

    level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")


class ServerSettings(BaseSettings):
    """What every server needs; a service subclasses it with its own prefix and fields."""

    model_config = SettingsConfigDict(frozen=True)

    database_url: str = Field(pattern=r"^postgresql\+psycopg2://")
    database_pool_size: int = Field(default=8, ge=1, le=100)
    grpc_address: str = Field(pattern=r"^[^:]*:\d+$")
    metrics_port: int = Field(ge=0, le=65535)
    drain_seconds: float = Field(default=10.0, ge=0, le=300)


class ConfigurationError(SystemExit):
    """Ends the process with the variable's name and what is wrong with it."""


def read(settings: type[Settings]) -> Settings:
    """Read settings from the environment. Refuses: ConfigurationError naming every bad variable."""
    try:
        return settings()
    except ValidationError as error:
        prefix = settings.model_config.get("env_prefix", "")
        lines = [
            f"{prefix}{problem['loc'][0]}".upper() + f": {problem['msg']}"
            for problem in error.errors()
        ]
        raise ConfigurationError("configuration: " + "; ".join(lines)) from None
