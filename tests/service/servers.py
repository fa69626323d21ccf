"""Services served in the process of the test, on ports of their own."""

import importlib
from dataclasses import dataclass

import grpc

from services.plumbing.config import AuthSettings
from services.plumbing.grpc_client import aio_channel
from services.plumbing.grpc_server import Server

# What a test waits for an answer; a machine that stalls for some seconds must not fail it.
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Running:
    """A service that answers at an address, and a channel to it."""

    server: Server
    address: str
    channel: grpc.aio.Channel

    async def stop(self) -> None:
        await self.channel.close()
        await self.server.stop(drain_seconds=0)


async def start(service: str, database_url: str, auth: AuthSettings, **settings: object) -> Running:
    """Start a service on a database, with its default settings but for those given."""
    main = importlib.import_module(f"services.{service}.main")
    module = importlib.import_module(f"services.{service}.settings")
    usual: dict[str, object] = {"grpc_address": "127.0.0.1:0", "metrics_port": 0}
    if service == "ledger":
        # Processes take a second to start; whole platforms have them.
        usual["committer_processes"] = False
    chosen = getattr(module, f"{service.title()}Settings")(
        database_url=database_url, **usual | settings
    )
    server = await main.start(chosen, auth)
    address = f"127.0.0.1:{server.port}"
    return Running(server, address, aio_channel(address, seconds_max=PATIENCE_SECONDS))
