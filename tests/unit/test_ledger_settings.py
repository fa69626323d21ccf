"""What the ledger's variables may say."""

import pytest

from services.ledger.settings import LedgerSettings
from services.plumbing.config import ConfigurationError, read


@pytest.fixture(autouse=True)
def a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_DATABASE_URL", "postgresql+psycopg2://here/ledger")


def test_limits_of_adjustments_are_read_by_role(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(LedgerSettings).adjustment_limits == {"*": 10_000}
    monkeypatch.setenv("LEDGER_ADJUSTMENT_LIMITS", '{"*": 50, "supervisor": 500}')
    assert read(LedgerSettings).adjustment_limits == {"*": 50, "supervisor": 500}


@pytest.mark.parametrize("limits", ["50", "{", '{"*": -1}', '{"*": "many"}', "[]"])
def test_limits_that_make_no_sense_end_the_start_with_their_name(
    monkeypatch: pytest.MonkeyPatch, limits: str
) -> None:
    monkeypatch.setenv("LEDGER_ADJUSTMENT_LIMITS", limits)
    with pytest.raises(ConfigurationError, match="LEDGER_ADJUSTMENT_LIMITS"):
        read(LedgerSettings)
