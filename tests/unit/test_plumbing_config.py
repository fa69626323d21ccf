"""Configuration that is wrong ends the start with the variable's name."""

import pytest
from pydantic_settings import SettingsConfigDict

from services.plumbing.config import (
    AuthSettings,
    ConfigurationError,
    LogSettings,
    ServerSettings,
    read,
)

URL = "postgresql+psycopg2://user:secret@/members"


class ShopSettings(ServerSettings):
    model_config = SettingsConfigDict(env_prefix="SHOP_", frozen=True)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A complete and right configuration."""
    monkeypatch.setenv("SHOP_DATABASE_URL", URL)
    monkeypatch.setenv("SHOP_GRPC_ADDRESS", "127.0.0.1:7101")
    monkeypatch.setenv("SHOP_METRICS_PORT", "7201")
    return monkeypatch


def test_settings_are_read_with_their_types(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SHOP_DRAIN_SECONDS", "2.5")
    settings = read(ShopSettings)
    assert (settings.database_url, settings.metrics_port) == (URL, 7201)
    assert (settings.drain_seconds, settings.database_pool_size) == (2.5, 8)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SHOP_DATABASE_URL", "mysql://user:secret@host/shop"),
        ("SHOP_GRPC_ADDRESS", "127.0.0.1"),
        ("SHOP_METRICS_PORT", "many"),
        ("SHOP_METRICS_PORT", "65536"),
        ("SHOP_DATABASE_POOL_SIZE", "0"),
        ("SHOP_DRAIN_SECONDS", "-1"),
    ],
)
def test_wrong_value_ends_with_the_name_and_without_the_value(
    environment: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    environment.setenv(variable, value)
    with pytest.raises(ConfigurationError) as error:
        read(ShopSettings)
    assert f"{variable}: " in str(error.value)
    assert "secret" not in str(error.value)


def test_every_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("SHOP_DATABASE_URL", "SHOP_GRPC_ADDRESS", "SHOP_METRICS_PORT"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ConfigurationError) as error:
        read(ShopSettings)
    for variable in ("SHOP_DATABASE_URL", "SHOP_GRPC_ADDRESS", "SHOP_METRICS_PORT"):
        assert f"{variable}: " in str(error.value)


def test_prefixes_of_plumbing_s_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_JWKS_URL", "file:///keys.json")
    monkeypatch.setenv("AUTH_ISSUER", "urn:issuer")
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    assert read(AuthSettings).audience == "loyalty"
    assert read(LogSettings).level == "DEBUG"
    monkeypatch.setenv("LOG_LEVEL", "loud")
    with pytest.raises(ConfigurationError, match="LOG_LEVEL: "):
        read(LogSettings)


@pytest.mark.usefixtures("environment")
def test_settings_cannot_be_changed() -> None:
    settings = read(ShopSettings)
    with pytest.raises(ValueError, match="frozen"):
        settings.metrics_port = 1
