"""The ports of one platform: counted from a base, or whatever is free."""

import socket
from contextlib import ExitStack
from dataclasses import dataclass

from services.cli.service_table import BUS, BUS_METRICS_OFFSET, SERVICES

HOST = "127.0.0.1"
EVERY_INTERFACE = ""


class PortInUse(Exception):  # noqa: N818 — an answer, not an accident
    """Another process listens on a port we need."""

    def __init__(self, port: int, purpose: str) -> None:
        super().__init__(f"port {port} ({purpose}) is in use; choose another --port-base")
        self.port = port


@dataclass(frozen=True, slots=True)
class Ports:
    """The port of each process's calls and of its metrics, by the process's name."""

    grpc: dict[str, int]
    metrics: dict[str, int]


def choose_ports(base: int, *, on_rabbitmq: bool = False) -> Ports:
    """The ports counted from a base, or free ones for base 0. Refuses: PortInUse."""
    with ExitStack() as held:

        def take(name: str, offset: int, purpose: str) -> int:
            wanted = base + offset if base else 0
            # All are held until the last is found, so that no free one is taken twice.
            taken = held.enter_context(_listening(wanted, f"{purpose} of {name}"))
            return int(taken.getsockname()[1])

        grpc = {s.name: take(s.name, s.grpc_offset, "gRPC") for s in SERVICES}
        metrics = {s.name: take(s.name, s.metrics_offset, "metrics") for s in SERVICES}
        if on_rabbitmq:
            for service in SERVICES:
                metrics[service.worker] = take(
                    service.worker, service.worker_metrics_offset, "metrics"
                )
        else:
            metrics[BUS] = take(BUS, BUS_METRICS_OFFSET, "metrics")
    return Ports(grpc, metrics)


def _listening(port: int, purpose: str) -> socket.socket:
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # Connections of an earlier run that linger do not count as use.
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((EVERY_INTERFACE, port))
        taken.listen(1)
    except (OSError, OverflowError) as error:
        taken.close()
        raise PortInUse(port, purpose) from error
    return taken
