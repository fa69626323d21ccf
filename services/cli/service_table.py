"""The processes of the platform: what they are called and where they listen."""

from dataclasses import dataclass

POSTGRES = "postgres"
BUS = "bus"
BUS_MODULE = "services.cli.embedded_bus"
BUS_METRICS_OFFSET = 190
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
    def database(self) -> str:
        return self.name

    @property
    def variables(self) -> str:
        """What the names of its environment variables begin with."""
        return self.name.upper()


SERVICES = (
    Service("members", grpc_offset=1, metrics_offset=101),
    Service("ledger", grpc_offset=2, metrics_offset=102),
)

# Whose reactions listen to whom over the bus: (consumer, source).
SUBSCRIPTIONS = (("ledger", "members"),)
