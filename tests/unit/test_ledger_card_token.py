"""What may stand for a customer's card."""

import pytest

from services.ledger.domain.card_token import looks_like_card_number, refuse_raw_card_number
from services.ledger.domain.refusals import RawCardNumber

# Numbers that card networks publish for tests.
CARD_NUMBERS = (
    "4111111111111111",
    "5555555555554444",
    "378282246310005",
    "6011111111111117",
    "4222222222222",
    "6304000000000000000",
)


@pytest.mark.parametrize("number", CARD_NUMBERS)
def test_a_card_number_is_refused_and_not_repeated(number: str) -> None:
    with pytest.raises(RawCardNumber) as caught:
        refuse_raw_card_number(number)
    assert caught.value.reason == "RAW_CARD_NUMBER"
    assert number not in f"{caught.value} {caught.value.message} {caught.value.metadata}"


@pytest.mark.parametrize(
    "written", ["4111-1111-1111-1111", "4111.1111.1111.1111", "4111_1111:1111-1111"]
)
def test_separators_do_not_hide_a_card_number(written: str) -> None:
    assert looks_like_card_number(written)


@pytest.mark.parametrize(
    "token",
    [
        # A wrong check digit, too short, too long, and what is no number.
        "4111111111111112",
        "411111111111",
        "41111111111111111111",
        "tok_4111111111111111",
        "hh-0000001",
        "4111-1111-1111-111x",
        "----",
        "",
    ],
)
def test_what_is_no_card_number_is_taken(token: str) -> None:
    refuse_raw_card_number(token)
    assert not looks_like_card_number(token)
