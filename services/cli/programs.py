"""What `loyalty up` runs: the database, the migrations, the servers, and the bus or workers."""

import os
import signal
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from subprocess import Popen

from services.cli import probes, rewards_files
from services.cli.ports import HOST, Ports
from services.cli.service_table import (
    BUS,
    BUS_MODULE,
    MIGRATIONS_MODULE,
    POSTGRES,
    QUEUES_MODULE,
    SERVICES,
    Service,
)
from services.cli.supervisor import Program
from services.plumbing import child_process, postgres_cluster
from services.plumbing.development_issuer import DevelopmentIssuer
from services.plumbing.postgres_cluster import Cluster
from services.plumbing.secret_file import write_secret

BUS_STOP_STEPS = ((signal.SIGTERM, 20.0),)
# Importing eventlet's takes a fifth of a second, and the embedded bus looks up no names.
NO_RESOLVER = {"EVENTLET_NO_GREENDNS": "yes"}


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs of one platform."""

    data_dir: Path
    cluster: Cluster
    issuer: DevelopmentIssuer
    ports: Ports
    # Where RabbitMQ is; None for the embedded bus.
    amqp_url: str | None = None

    def database_urls(self) -> dict[str, str]:
        return {service.name: self.cluster.url_of(service.database) for service in SERVICES}

    def postgres(self) -> Program:
        return Program(
            name=POSTGRES,
            command=self.cluster.command,
            environment=postgres_cluster.environment(),
            log=self.cluster.log,
            is_healthy=self.cluster.is_ready,
            before_start=self.cluster.make_startable,
            stop_steps=postgres_cluster.STOP_STEPS,
            account=self.cluster.account,
            working_directory=Path("/"),
        )

    def migrations(self) -> list[Program]:
        """What has to have ended well before the servers start."""
        return [
            Program(
                name="migrations",
                command=_module(MIGRATIONS_MODULE),
                environment=os.environ | self._database_variables(),
                log=self._log("migrations"),
            )
        ]

    def servers(self) -> list[Program]:
        return [self._server(service) for service in SERVICES]

    def bus(self) -> list[Program]:
        """What carries the events: the embedded bus, or every service's worker."""
        if self.amqp_url is None:
            return [self._embedded_bus()]
        return [self._worker(service, self.amqp_url) for service in SERVICES]

    def before_bus(self) -> list[Program]:
        """What has to have ended well before the bus starts: each consumer has its queues."""
        if self.amqp_url is None:
            return []
        return [
            Program(
                name="queues",
                command=_module(QUEUES_MODULE),
                environment=os.environ | {"AMQP_URL": self.amqp_url},
                log=self._log("queues"),
            )
        ]

    def start_night(self, last_day: date) -> Popen[bytes]:
        """Close the business days up to one, in a process that ends by itself."""
        command = _module(
            *("services.cli", "night", "--data", str(self.data_dir), "--date", last_day.isoformat())
        )
        return child_process.start(command, environment=os.environ, log=self._log("night"))

    def _embedded_bus(self) -> Program:
        address = f"{HOST}:{self.ports.metrics[BUS]}"
        return Program(
            name=BUS,
            command=_module(BUS_MODULE),
            environment=os.environ
            | self._database_variables()
            | self._doorbell()
            | {"BUS_METRICS_PORT": str(self.ports.metrics[BUS])}
            | NO_RESOLVER,
            log=self._log(BUS),
            is_healthy=lambda: probes.serves_metrics(address),
            stop_steps=BUS_STOP_STEPS,
            metrics_address=address,
        )

    def _server(self, service: Service) -> Program:
        address = f"{HOST}:{self.ports.grpc[service.name]}"
        return Program(
            name=service.name,
            command=_module(service.module, "server"),
            environment=self._environment(service),
            log=self._log(service.name),
            is_healthy=lambda: probes.serves_grpc(address),
            before_start=lambda: self._renew_token(service),
            grpc_address=address,
            metrics_address=f"{HOST}:{self.ports.metrics[service.name]}",
        )

    def _worker(self, service: Service, amqp_url: str) -> Program:
        port = self.ports.metrics[service.worker]
        own = {"AMQP_URL": amqp_url, f"{service.variables}_WORKER_METRICS_PORT": str(port)}
        address = f"{HOST}:{port}"
        return Program(
            name=service.worker,
            command=_module(service.module, "worker"),
            environment=self._environment(service) | own,
            log=self._log(service.worker),
            is_healthy=lambda: probes.serves_metrics(address),
            stop_steps=BUS_STOP_STEPS,
            metrics_address=address,
        )

    def _database_variables(self) -> dict[str, str]:
        """What those are told that work on the databases of all services."""
        return {f"{s.variables}_DATABASE_URL": self.cluster.url_of(s.database) for s in SERVICES}

    def _environment(self, service: Service) -> dict[str, str]:
        """What one service may know: its own database, and where the others answer."""
        addresses = {
            f"{other.variables}_GRPC_ADDRESS": f"{HOST}:{self.ports.grpc[other.name]}"
            for other in SERVICES
        }
        return {
            **os.environ,
            **addresses,
            **self._calling(service),
            **self._doorbell(),
            f"{service.variables}_DATABASE_URL": self.cluster.url_of(service.database),
            f"{service.variables}_METRICS_PORT": str(self.ports.metrics[service.name]),
            "AUTH_JWKS_URL": self.issuer.jwks_url,
            "AUTH_ISSUER": self.issuer.issuer,
            "AUTH_AUDIENCE": self.issuer.audience,
        }

    def _doorbell(self) -> dict[str, str]:
        """Where the embedded bus hears of events: datagrams, at the port of its metrics."""
        if self.amqp_url is not None:
            return {}
        return {"BUS_DOORBELL": f"{HOST}:{self.ports.metrics[BUS]}"}

    def _calling(self, service: Service) -> dict[str, str]:
        """What a server needs that calls another."""
        if service.name != rewards_files.SERVICE:
            return {}
        ledger = f"{HOST}:{self.ports.grpc['ledger']}"
        return rewards_files.environment(self.data_dir, ledger)

    def _renew_token(self, service: Service) -> None:
        """Before a server starts that calls another: its token for that."""
        if service.name == rewards_files.SERVICE:
            token = self.issuer.mint(
                f"services/{service.name}",
                rewards_files.LEDGER_SCOPES,
                [],
                rewards_files.TOKEN_LIFETIME_SECONDS,
            )
            write_secret(rewards_files.token_file(self.data_dir), token.encode())

    def _log(self, name: str) -> Path:
        return self.data_dir / "logs" / f"{name}.log"


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *arguments)
