"""The benchmark measures a platform of its own; here so briefly that the numbers mean nothing."""

from collections.abc import Iterator

import pytest

from loadtests.bench import report
from loadtests.bench.crew import Crew, crew_for
from loadtests.bench.found import Found
from loadtests.bench.generator import Call
from loadtests.bench.keys import KEYS, NAMES, Contestant, Stage
from loadtests.bench.measurement import Measurement, Miscounted, compare_growth
from loadtests.bench.plan import FIRST_GUESS, Plan
from loadtests.bench.subject import Subject, fresh_subject

# What runs on platforms of its own.
OF_THEIR_OWN = set(Stage) - {Stage.GROWTH}
BRIEF = Plan(rounds=1, seconds=0.3, idle_seconds=0.3, history_sales=3_000, wallets=1_000)


@pytest.fixture(scope="module", autouse=True)
def _little_ready() -> Iterator[None]:
    """What is made beforehand and not sent in a round is sent all the same, into the history."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FIRST_GUESS, Call.BATCH, 4.0)
        yield


@pytest.fixture(scope="module")
def subject() -> Iterator[Subject]:
    with fresh_subject(BRIEF.wallets) as subject:
        yield subject


@pytest.fixture(scope="module")
def crew(subject: Subject) -> Iterator[Crew]:
    with crew_for(subject) as crew:
        yield crew


@pytest.fixture(scope="module")
def found(subject: Subject, crew: Crew) -> Found:
    said: list[str] = []
    measurement = Measurement(subject, crew, BRIEF, said.append)
    found = measurement.run(list(Contestant))
    # With itself: a second platform would only show that there are two.
    compare_growth(measurement, measurement, BRIEF.rounds, found, said.append)
    return found


def test_database_under_measure_is_durable(subject: Subject) -> None:
    settings = subject.settings()

    assert (settings["fsync"], settings["synchronous_commit"]) == ("on", "on")


def test_every_key_of_the_rounds_is_measured(found: Found) -> None:
    values = report.values_of(found)

    unmeasured = {name for name in NAMES if values[name] is None}
    assert unmeasured == {key.name for key in KEYS if key.needs & OF_THEIR_OWN}
    assert all(value > 0 for value in values.values() if value is not None)


def test_ledger_has_grown_by_the_history(found: Found) -> None:
    assert found.sales_when_grown >= BRIEF.history_sales


def test_grown_and_empty_ledger_are_measured_in_turn(found: Found) -> None:
    assert len(found.grown) == len(found.empty) == BRIEF.rounds


def test_recorded_is_exactly_what_was_acknowledged(
    found: Found, subject: Subject, crew: Crew
) -> None:
    assert found.sales_recorded == subject.sales() == crew.sales_acknowledged


def test_a_sale_acknowledged_but_not_recorded_is_noticed(
    found: Found, subject: Subject, crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It would send what the rounds have left as well, which takes its time.
    monkeypatch.setattr(Crew, "record_first_sales", lambda *_, **__: None)
    crew.sales_acknowledged += 1
    try:
        with pytest.raises(Miscounted, match="are recorded"):
            Measurement(subject, crew, BRIEF, lambda _: None).run([])
    finally:
        crew.sales_acknowledged -= 1
    assert found.sales_recorded > 0


def test_report_tells_who_used_the_cores(found: Found) -> None:
    content = report.document(found, plan=BRIEF, names=NAMES, settings={})

    shares = content["generator_core_share"]
    assert set(shares) == {str(contestant) for contestant in Contestant}
    assert 0 < shares["echo"] < 1


def test_a_rate_bounds_what_is_sent(crew: Crew) -> None:
    found = crew.measure(Call.ECHO, in_flight=8, seconds=1.0, ready=400, per_second=50.0)

    # What the half second before was to send may have been late, and each generator begins at once.
    assert 0 < found.calls_per_second <= 50 * 1.5 + 2
