"""What the benchmark sends, and what it concludes from what it measured."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from loadtests.bench import report
from loadtests.bench.carrying import CatchUp, Lag
from loadtests.bench.found import Found, Turn
from loadtests.bench.keys import KEYS, NAMES, Contestant, Stage, needed
from loadtests.bench.plan import FULL
from loadtests.bench.previewing import MEBIBYTE, Beside, Previewed
from loadtests.bench.redeeming import Redeemed
from loadtests.bench.usage import Meter, Sample, Usage, between
from loadtests.bench.workload import SALES_PER_CALL, SaleMaker

WALLETS = 1_000
USAGE = Usage(
    wall_seconds=2.0,
    seconds={"server": 1.0, "postgres": 0.5, "generators": 0.25},
    others_seconds=0.0,
    stolen_seconds=0.0,
)


LAG = Lag(
    sales_per_second_wanted=2_000,
    sales_per_second=1_990.0,
    sales=60_000,
    events=3_000,
    p50_seconds=0.05,
    p99_seconds=0.5,
    most_seconds=0.9,
    core_share={},
)


def batch(maker: SaleMaker) -> pos.BatchRecordSalesRequest:
    return pos.BatchRecordSalesRequest.FromString(maker.batch())


def turns(*values: float) -> list[Turn]:
    return [Turn(value, value, USAGE) for value in values]


def measured() -> Found:
    return Found(
        turns={
            Contestant.ECHO: turns(4_000, 5_000, 9_000),
            Contestant.SALE: turns(3_000, 3_500, 100),
            Contestant.BULK: turns(20_000, 30_000, 25_000),
            Contestant.NAIVE: turns(2_500, 2_000, 2_600),
            Contestant.IDLE_ECHO: turns(0.001, 0.002, 0.003),
            Contestant.IDLE_SALE: turns(0.005, 0.003, 0.004),
        },
        empty=turns(10_000, 20_000, 30_000),
        grown=turns(19_000, 19_000, 1_000),
        replay={"replay_seconds": 61.5},
        lag=LAG,
        catch_up=CatchUp(100_000, 40_000, events=50, seconds=4.0, core_share={}),
        preview=Previewed(
            members=500_000,
            rows=18_500_000,
            seconds=20.0,
            processor_seconds=18.0,
            peak_memory_bytes=300 * MEBIBYTE,
            members_up=4,
            members_down=3,
        ),
        beside=Beside((1_000.0, 3_000.0, 2_000.0), (1_400.0, 1_600.0), preview_core_share=0.25),
        redeemed=Redeemed(
            per_second=(300.0, 350.0, 200.0),
            p50_seconds=(0.1, 0.1, 0.1),
            p99_seconds=(0.2, 0.3, 0.25),
            sale_p99_seconds=(0.05, 0.01, 0.1),
            core_share={},
        ),
    )


def test_batch_has_500_sales_of_3_lines() -> None:
    sent = batch(SaleMaker(0, wallets=WALLETS))

    assert len(sent.requests) == SALES_PER_CALL == 500
    assert {len(request.sale.lines) for request in sent.requests} == {3}


def test_single_sale_has_one_line() -> None:
    sent = pos.RecordSaleRequest.FromString(SaleMaker(0, wallets=WALLETS).sale())

    assert len(sent.sale.lines) == 1


def test_every_sale_of_every_generator_is_one_of_its_own() -> None:
    makers = [SaleMaker(number, wallets=WALLETS) for number in range(2)]

    requests = [request for maker in makers for _ in range(4) for request in batch(maker).requests]

    receipts = {(r.sale.terminal, r.sale.receipt_number) for r in requests}
    assert len({request.request_id for request in requests}) == len(requests) == len(receipts)


def test_one_line_of_every_third_basket_is_produce() -> None:
    produce = [
        sum(line.category_path[0] == "PRODUCE" for line in request.sale.lines)
        for request in batch(SaleMaker(0, wallets=WALLETS)).requests[:9]
    ]

    assert produce == [0, 0, 1, 0, 0, 1, 0, 0, 1]


def test_sales_spread_over_all_wallets_and_no_others() -> None:
    maker = SaleMaker(0, wallets=3)

    cards = {request.sale.card_token for request in batch(maker).requests}

    assert cards == {"bench-0000001", "bench-0000002", "bench-0000003"}


def test_keys_are_those_the_report_is_read_by() -> None:
    assert NAMES == (
        "echo_unary_per_s",
        "sale_unary_per_s",
        "unary_ratio",
        "bulk_sales_per_s",
        "naive_hot_per_s",
        "bulk_over_naive",
        "idle_p50_ratio",
        "growth_ratio",
        "replay_seconds",
        "events_lag_p99_s",
        "event_entries_per_s",
        "preview_1m_seconds",
        "preview_unary_share",
        "redeem_per_s",
        "redeem_p99_ratio",
        "night_10m_lots_s",
        "night_unary_share",
    )


def test_only_what_a_key_stands_on_is_run() -> None:
    assert needed(frozenset({"unary_ratio"})) == {Contestant.ECHO, Contestant.SALE}
    assert needed(frozenset({"growth_ratio"})) == {Stage.GROWTH}
    assert needed(frozenset({"events_lag_p99_s"})) == {Stage.LAG}
    assert needed(frozenset({"preview_unary_share"})) == {Stage.BESIDE_PREVIEW}
    assert needed(frozenset({"redeem_per_s"})) == {Stage.REDEEM}


def test_values_are_medians_of_rounds_and_ratios_of_medians() -> None:
    assert report.values_of(measured()) == {
        "echo_unary_per_s": 5_000,
        "sale_unary_per_s": 3_000,
        "unary_ratio": 0.6,
        "bulk_sales_per_s": 25_000,
        "naive_hot_per_s": 2_500,
        "bulk_over_naive": 10.0,
        "idle_p50_ratio": 2.0,
        "growth_ratio": 0.95,
        "replay_seconds": 61.5,
        "events_lag_p99_s": 0.5,
        "event_entries_per_s": 25_000,
        "preview_1m_seconds": 40.0,
        "preview_unary_share": 0.75,
        "redeem_per_s": 300,
        "redeem_p99_ratio": 5.0,
        "night_10m_lots_s": None,
        "night_unary_share": None,
    }


def test_what_was_not_measured_has_no_value() -> None:
    assert set(report.values_of(Found()).values()) == {None}


def test_report_says_which_targets_are_met(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"

    report.save(report.document(measured(), plan=FULL, names=NAMES, settings={}), path)

    targets = json.loads(path.read_text())["targets"]
    assert targets == {
        "unary_ratio": {"at_least": 0.6, "met": True},
        "bulk_sales_per_s": {"at_least": 20_000, "met": True},
        "bulk_over_naive": {"at_least": 9, "met": True},
        "idle_p50_ratio": {"at_most": 3.0, "met": True},
        "growth_ratio": {"at_least": 0.9, "met": True},
        "replay_seconds": {"at_most": 60, "met": False},
        "events_lag_p99_s": {"at_most": 2.0, "met": True},
        "event_entries_per_s": {"at_least": 20_000, "met": True},
        "preview_1m_seconds": {"at_most": 60, "met": True},
        "preview_unary_share": {"at_least": 0.8, "met": False},
        "redeem_per_s": {"at_least": 300, "met": True},
        "redeem_p99_ratio": {"at_most": 8, "met": True},
        "night_10m_lots_s": {"at_most": 600, "met": None},
        "night_unary_share": {"at_least": 0.8, "met": None},
    }


def test_report_has_rounds_shares_and_costs_of_every_contestant() -> None:
    found = report.document(measured(), plan=FULL, names=NAMES, settings={})

    bulk = found["contestants"]["bulk"]
    assert bulk["rounds"] == [20_000, 30_000, 25_000]
    assert bulk["spread"] == 0.4
    cores = psutil.cpu_count() or 1
    assert found["generator_core_share"]["bulk"] == round(0.25 / (2.0 * cores), 3)
    # Half a second of PostgreSQL over two seconds of 25,000 sales each.
    assert bulk["processor_micros_each"]["postgres"] == 10.0


@pytest.mark.parametrize("name", NAMES)
def test_every_key_can_be_measured_alone(name: str) -> None:
    found = report.document(measured(), plan=FULL, names=[name], settings={})

    assert [key for key in found if key in NAMES] == [name]


@pytest.mark.parametrize(
    "loud", [replace(USAGE, others_seconds=2.0), replace(USAGE, stolen_seconds=2.0)]
)
def test_noise_of_others_is_told(loud: Usage) -> None:
    assert report.noise(measured()) is None
    told = report.noise(Found(turns={Contestant.BULK: [Turn(1.0, 1.0, loud)]}))
    assert told is not None
    assert "other processes took" in told


def test_usage_is_what_was_spent_between_two_samples() -> None:
    start = Sample(
        time=10.0,
        seconds={"server": 1.0, "postgres": 2.0},
        machine_seconds=100.0,
        stolen_seconds=7.0,
    )
    end = Sample(
        time=12.0,
        seconds={"server": 2.0, "postgres": 2.5},
        machine_seconds=103.0,
        stolen_seconds=7.5,
    )

    usage = between(start, end)

    assert usage == Usage(
        2.0, {"server": 1.0, "postgres": 0.5}, others_seconds=1.5, stolen_seconds=0.5
    )


def test_meter_counts_this_process() -> None:
    meter = Meter({"us": [psutil.Process().pid]})
    before = meter.sample()
    while between(before, meter.sample()).seconds["us"] < 0.05:
        SimpleNamespace(**{str(number): number for number in range(100)})

    assert between(before, meter.sample()).core_share("us") > 0


def test_targets_are_bounds_not_wishes() -> None:
    bounds = {key.name: key for key in KEYS}

    assert bounds["idle_p50_ratio"].is_met(3.0) is True
    assert bounds["idle_p50_ratio"].is_met(3.01) is False
    assert bounds["growth_ratio"].is_met(0.89) is False
    assert bounds["echo_unary_per_s"].is_met(1.0) is None
