"""The processes of the platform: what they are called and where they listen."""

from dataclasses import dataclass

POSTGRES = "postgres"
BUS = "bus"
BUS_MODULE = "services.cli.embedded_bus"
QUEUES_MODULE = "services.cli.queues"
MIGRATIONS_MODULE = "services.cli.migrations"
BUS_METRICS_OFFSET = 190
# A worker's metrics lie as far behind its server's calls as the bus's behind the base.
WORKER_METRICS_OFFSET = BUS_METRICS_OFFSET
AUDIENCE = "loyalty"


@dataclass(frozen=True, slots=True)
class Service:
    """A service and its ports, counted from the base."""

    name: str
    grpc_offset: int
    metrics_offset: int

    @property
    def module(self) -> str:
        return f"services.{self.name}"

    @property
    def worker(self) -> str:
        """What its worker is called."""
        return f"{self.name}-worker"

    @property
    def worker_metrics_offset(self) -> int:
        return WORKER_METRICS_OFFSET + self.grpc_offset

    @property
    def database(self) -> str:
        return self.name

    @property
    def variables(self) -> str:
        """What the names of its environment variables begin with."""
        return self.name.upper()


SERVICES = (
    Service("members", grpc_offset=1, metrics_offset=101),
    Service("ledger", grpc_offset=2, metrics_offset=102),
    Service("tiering", grpc_offset=3, metrics_offset=103),
    Service("rewards", grpc_offset=4, metrics_offset=104),
)

# Whose reactions listen to whom over the bus: (consumer, source).
SUBSCRIPTIONS = (
    ("ledger", "members"),
    ("ledger", "tiering"),
    ("rewards", "members"),
    ("rewards", "tiering"),
    ("tiering", "ledger"),
    ("tiering", "members"),
)


def bus_processes(*, on_rabbitmq: bool) -> tuple[str, ...]:
    """Who carries the events: one process for all, or each service's worker."""
    return tuple(service.worker for service in SERVICES) if on_rabbitmq else (BUS,)
