"""The settings of an embedded PostgreSQL, sized to the machine it shares with its clients."""

from collections.abc import Mapping
from pathlib import Path

import psutil

MEGABYTE = 1024 * 1024
SHARED_BUFFERS_BYTES_MAX = 1024 * MEGABYTE
SHARED_BUFFERS_BYTES_MIN = 32 * MEGABYTE
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def settings(
    memory_bytes: int, *, socket_directory: Path, max_connections: int = 200
) -> dict[str, str]:
    """What differs from PostgreSQL's defaults.

    Every commit reaches the disk before it is acknowledged.
    """
    quarter = memory_bytes // 4
    shared_buffers = max(SHARED_BUFFERS_BYTES_MIN, min(quarter, SHARED_BUFFERS_BYTES_MAX))
    maintenance = max(64 * MEGABYTE, min(memory_bytes // 16, 512 * MEGABYTE))
    return {
        # Reached through a socket file only.
        "listen_addresses": "",
        "port": "5432",
        "unix_socket_directories": '"' + str(socket_directory).replace('"', '""') + '"',
        "max_connections": str(max_connections),
        # Memory.
        "shared_buffers": _megabytes(shared_buffers),
        "effective_cache_size": _megabytes(memory_bytes // 2),
        "maintenance_work_mem": _megabytes(maintenance),
        "work_mem": "16MB",
        # Every commit is durable, so the log is made cheap: fewer checkpoints, smaller pages.
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "wal_compression": "on",
        "min_wal_size": "1GB",
        "max_wal_size": "8GB",
        "checkpoint_timeout": "15min",
        # Short statements on solid state disks.
        "jit": "off",
        "random_page_cost": "1.1",
        # The server's log never carries a statement's values or a row's: they can be personal.
        "logging_collector": "off",
        "log_destination": "stderr",
        "log_line_prefix": "%m [%p] %d ",
        "log_error_verbosity": "terse",
        "log_min_error_statement": "panic",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }


def rendered(values: Mapping[str, str]) -> str:
    """The text of a postgresql.conf."""
    lines = [f"{name} = '{_escaped(value)}'" for name, value in values.items()]
    return "\n".join(["# Written at every start; ALTER SYSTEM overrides it.", *lines, ""])


def machine_memory_bytes() -> int:
    """The memory this process may use: the machine's, or its container's where that is less."""
    total = int(psutil.virtual_memory().total)
    try:
        limit = CGROUP_LIMIT.read_text().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


def _megabytes(amount_bytes: int) -> str:
    return f"{amount_bytes // MEGABYTE}MB"
