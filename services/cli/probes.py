"""Whether a process does its work, as seen from outside."""

import http.client
import socket
from typing import Any

TIMEOUT_SECONDS = 1.0


def serves_grpc(address: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> bool:
    """Whether a server's health service says SERVING."""
    if not _listens(address, timeout_seconds):
        return False
    # Slow to import, and not needed before something listens.
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = health.Check(health_pb2.HealthCheckRequest(), timeout=timeout_seconds)
        except grpc.RpcError:
            return False
    serving: bool = answer.status == health_pb2.HealthCheckResponse.SERVING
    return serving


def serves_metrics(address: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> bool:
    """Whether a process answers for its metrics."""
    connection = http.client.HTTPConnection(address, timeout=timeout_seconds)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def serves_queries(database_url: str) -> bool:
    """Whether a database answers."""
    from sqlalchemy.exc import SQLAlchemyError

    from services.plumbing.database import engine

    source = engine(database_url, pool_size=1)
    try:
        source.connect().close()
    except SQLAlchemyError:
        return False
    finally:
        source.dispose()
    return True


def _listens(address: str, timeout_seconds: float) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=timeout_seconds).close()
    except OSError:
        return False
    return True
