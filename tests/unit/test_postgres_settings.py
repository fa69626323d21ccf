from pathlib import Path

import pytest

from services.plumbing.postgres_settings import MEGABYTE, machine_memory_bytes, rendered, settings

SOCKET = Path("/data/socket")


@pytest.mark.parametrize(
    ("memory_megabytes", "shared_buffers", "effective_cache_size", "maintenance_work_mem"),
    [
        (64, "32MB", "32MB", "64MB"),
        (1_024, "256MB", "512MB", "64MB"),
        (2_048, "512MB", "1024MB", "128MB"),
        (4_096, "1024MB", "2048MB", "256MB"),
        (65_536, "1024MB", "32768MB", "512MB"),
    ],
)
def test_memory_follows_the_machine_within_bounds(
    memory_megabytes: int,
    shared_buffers: str,
    effective_cache_size: str,
    maintenance_work_mem: str,
) -> None:
    values = settings(memory_megabytes * MEGABYTE, socket_directory=SOCKET)
    assert values["shared_buffers"] == shared_buffers
    assert values["effective_cache_size"] == effective_cache_size
    assert values["maintenance_work_mem"] == maintenance_work_mem


def test_commits_are_durable_and_the_log_is_roomy() -> None:
    values = settings(4_096 * MEGABYTE, socket_directory=SOCKET)
    assert {name: values[name] for name in ("fsync", "synchronous_commit", "full_page_writes")} == {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
    }
    assert values["max_wal_size"] == "8GB"
    assert values["min_wal_size"] == "1GB"
    assert values["checkpoint_timeout"] == "15min"
    assert values["wal_compression"] == "on"


def test_only_a_socket_file_is_listened_on() -> None:
    values = settings(4_096 * MEGABYTE, socket_directory=SOCKET, max_connections=50)
    assert values["listen_addresses"] == ""
    assert values["unix_socket_directories"] == '"/data/socket"'
    assert values["max_connections"] == "50"


def test_server_log_carries_no_values() -> None:
    values = settings(4_096 * MEGABYTE, socket_directory=SOCKET)
    assert values["log_error_verbosity"] == "terse"
    assert values["log_min_error_statement"] == "panic"


def test_quotes_and_backslashes_are_escaped_in_the_file() -> None:
    assert rendered({"name": "it's a \\ path"}).splitlines()[1:] == ["name = 'it''s a \\\\ path'"]


def test_machine_has_memory() -> None:
    assert machine_memory_bytes() > 128 * MEGABYTE
