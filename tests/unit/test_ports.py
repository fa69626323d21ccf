import socket

import pytest

from services.cli.ports import PortInUse, choose_ports


def free_base() -> int:
    """A base from which nobody listens at the moment."""
    for base in range(21_000, 60_000, 1_000):
        try:
            choose_ports(base)
        except PortInUse:
            continue
        return base
    raise LookupError("no free range of ports")


def test_ports_count_from_the_base() -> None:
    base = free_base()
    ports = choose_ports(base)
    assert ports.grpc == {
        "members": base + 1,
        "ledger": base + 2,
        "tiering": base + 3,
        "rewards": base + 4,
    }
    servers = {
        "members": base + 101,
        "ledger": base + 102,
        "tiering": base + 103,
        "rewards": base + 104,
    }
    assert ports.metrics == servers | {"bus": base + 190}
    workers = {
        "members-worker": base + 191,
        "ledger-worker": base + 192,
        "tiering-worker": base + 193,
        "rewards-worker": base + 194,
    }
    assert choose_ports(base, on_rabbitmq=True).metrics == servers | workers


def test_base_zero_takes_different_free_ports() -> None:
    ports = choose_ports(0)
    chosen = [*ports.grpc.values(), *ports.metrics.values()]
    assert len(set(chosen)) == 9
    assert all(port > 1_023 for port in chosen)


def test_port_in_use_is_named_with_its_purpose() -> None:
    base = free_base()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", base + 102))
        taken.listen(1)
        with pytest.raises(PortInUse) as refused:
            choose_ports(base)
    assert refused.value.port == base + 102
    assert str(refused.value) == (
        f"port {base + 102} (metrics of ledger) is in use; choose another --port-base"
    )
