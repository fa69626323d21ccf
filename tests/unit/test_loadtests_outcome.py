"""What a load came to, and whether that is good."""

from pathlib import Path

from loadtests.tills.outcome import Failure, Outcome, Requests

SALES = Requests("RecordSale", count=10, failures=0, p50_ms=5, p95_ms=8, p99_ms=9)
REFUSED = Failure("RecordSale", "WRONG_CURRENCY", 1)


def test_calls_without_failure_are_good() -> None:
    assert Outcome([SALES], []).is_good


def test_one_unexpected_refusal_is_not_good() -> None:
    assert not Outcome([SALES], [REFUSED]).is_good


def test_no_call_at_all_is_not_good() -> None:
    assert not Outcome([], []).is_good


def test_outcome_is_read_as_it_was_written(tmp_path: Path) -> None:
    outcome = Outcome([SALES], [REFUSED])

    outcome.save(tmp_path / "outcome.json")

    assert Outcome.load(tmp_path / "outcome.json") == outcome
