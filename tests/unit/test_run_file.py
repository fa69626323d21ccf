import os
import stat
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from services.cli.run_file import NothingRuns, RunningPlatform, RunningProcess, remove


def ourselves() -> RunningProcess:
    process = psutil.Process()
    return RunningProcess(
        name="ledger",
        pid=process.pid,
        started=process.create_time(),
        command=tuple(process.cmdline()),
        restarts=2,
        grpc_address="127.0.0.1:7102",
        metrics_address="127.0.0.1:7202",
    )


def platform(data_dir: Path) -> RunningPlatform:
    return RunningPlatform(
        data_dir=data_dir,
        pid=os.getpid(),
        started=psutil.Process().create_time(),
        ready=True,
        processes=(ourselves(),),
        database_urls={
            "members": "postgresql://m",
            "ledger": "postgresql://l",
            "tiering": "postgresql://t",
            "rewards": "postgresql://r",
        },
        jwks_url="file:///keys",
        issuer="urn:issuer",
        audience="loyalty",
    )


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    platform(tmp_path).save()
    assert RunningPlatform.load(tmp_path) == platform(tmp_path)
    assert stat.S_IMODE((tmp_path / "run.json").stat().st_mode) == 0o600


def test_nothing_runs_where_nothing_was_written(tmp_path: Path) -> None:
    with pytest.raises(NothingRuns):
        RunningPlatform.load(tmp_path)


def test_nothing_runs_after_removal(tmp_path: Path) -> None:
    platform(tmp_path).save()
    remove(tmp_path)
    with pytest.raises(NothingRuns):
        RunningPlatform.load(tmp_path)


def test_platform_whose_number_another_process_has_now_does_not_run(tmp_path: Path) -> None:
    earlier = replace(platform(tmp_path), started=platform(tmp_path).started - 3_600)
    earlier.save()
    with pytest.raises(NothingRuns):
        RunningPlatform.load(tmp_path)
    assert RunningPlatform.last(tmp_path) == earlier


@pytest.mark.parametrize("content", ["", "{", "{}", '{"processes": []}'])
def test_damaged_file_tells_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    assert RunningPlatform.last(tmp_path) is None


def test_process_is_found_by_number_start_and_command() -> None:
    process = ourselves()
    found = process.found()
    assert found is not None
    assert found.pid == os.getpid()
    assert replace(process, started=process.started - 3_600).found() is None
    assert replace(process, command=(sys.executable, "-m", "other")).found() is None


def test_environment_configures_a_command_on_the_platform(tmp_path: Path) -> None:
    assert platform(tmp_path).environment() == {
        "AUTH_JWKS_URL": "file:///keys",
        "AUTH_ISSUER": "urn:issuer",
        "AUTH_AUDIENCE": "loyalty",
        "MEMBERS_DATABASE_URL": "postgresql://m",
        "LEDGER_DATABASE_URL": "postgresql://l",
        "TIERING_DATABASE_URL": "postgresql://t",
        "REWARDS_DATABASE_URL": "postgresql://r",
        "LEDGER_GRPC_ADDRESS": "127.0.0.1:7102",
        "REWARDS_LEDGER_ADDRESS": "127.0.0.1:7102",
        "REWARDS_LEDGER_TOKEN_FILE": f"{tmp_path}/rewards/ledger-token",
        "REWARDS_SIGNING_KEYS_FILE": f"{tmp_path}/rewards/signing-keys.json",
    }


def test_environment_says_where_rabbitmq_is_if_there_is_one(tmp_path: Path) -> None:
    on_rabbitmq = replace(platform(tmp_path), amqp_url="amqp://broker//")
    assert on_rabbitmq.environment()["AMQP_URL"] == "amqp://broker//"


def test_the_doorbell_is_where_the_bus_serves_its_metrics_if_there_is_one(tmp_path: Path) -> None:
    on_rabbitmq = platform(tmp_path)
    bus = replace(ourselves(), name="bus", grpc_address=None, metrics_address="127.0.0.1:7290")
    embedded = replace(on_rabbitmq, processes=(ourselves(), bus))
    assert (embedded.doorbell, on_rabbitmq.doorbell) == ("127.0.0.1:7290", "")
