"""How identities are written, and which are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn

from services.members.domain import identities
from services.members.domain.refusals import (
    CardNotFound,
    InvalidCardToken,
    InvalidMembershipNumber,
    InvalidPhone,
    RawCardNumber,
)

# Numbers that card schemes publish for tests, of 13, 15, 16 and 19 digits.
RAW_CARD_NUMBERS = ["4222222222222", "378282246310005", "4111111111111111", "6304000000000000000"]


def test_first_membership_number_is_thirteen_digits_with_a_check_digit() -> None:
    assert identities.membership_number(1) == "1000000000017"


@given(st.integers(min_value=1, max_value=10**11 - 1))
def test_membership_number_is_thirteen_digits_and_right_by_luhn(sequence: int) -> None:
    number = identities.membership_number(sequence)
    assert len(number) == 13
    assert luhn.is_valid(number)
    assert identities.read_membership_number(number) == number


@given(st.integers(min_value=1, max_value=10**11 - 2))
def test_membership_numbers_differ(sequence: int) -> None:
    assert identities.membership_number(sequence) != identities.membership_number(sequence + 1)


def test_membership_number_is_read_with_spaces_and_dashes() -> None:
    assert identities.read_membership_number("1000-0000 00017") == "1000000000017"


@pytest.mark.parametrize("text", ["", "1000000000018", "100000000017", "10000000000170", "members"])
def test_wrong_membership_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidMembershipNumber):
        identities.read_membership_number(text)


@pytest.mark.parametrize("number", RAW_CARD_NUMBERS)
@pytest.mark.parametrize("separator", ["", " ", "-", ".", "_", "/"])
def test_raw_card_number_is_refused_however_it_is_written(number: str, separator: str) -> None:
    written = separator.join(number[start : start + 4] for start in range(0, len(number), 4))
    with pytest.raises(RawCardNumber) as refusal:
        identities.new_card_token(written)
    with pytest.raises(RawCardNumber):
        identities.issued_card_token(written)
    shown = repr(refusal.value) + refusal.value.message + repr(refusal.value.metadata)
    assert number[:6] not in shown
    assert number[-4:] not in shown


@pytest.mark.parametrize(
    "token",
    [
        "4111111111111112",
        "411111111111",
        "41111111111111111111",
        "card-4111111111111111",
        "tok_3f9a",
        "A.b:c-1",
    ],
)
def test_token_that_is_no_card_number_is_taken_as_it_is(token: str) -> None:
    assert identities.new_card_token(token) == token


@pytest.mark.parametrize(
    "token", ["", "abc", "a" * 65, "with space", "tab\t12", "zürich", "a\x00bcd"]
)
def test_token_that_no_till_could_send_is_refused(token: str) -> None:
    with pytest.raises(InvalidCardToken):
        identities.new_card_token(token)
    with pytest.raises(CardNotFound):
        identities.issued_card_token(token)


def test_email_is_lower_case() -> None:
    assert identities.email("Ada.Lovelace@Example.COM") == "ada.lovelace@example.com"


@pytest.mark.parametrize(
    ("text", "region_code"),
    [
        ("+41 44 668 18 00", ""),
        ("0041446681800", "CH"),
        ("044 668 18 00", "CH"),
        ("(044) 668-18-00", "CH"),
        ("+41446681800", "US"),
    ],
)
def test_phone_is_e164(text: str, region_code: str) -> None:
    assert identities.phone(text, region_code) == "+41446681800"


@pytest.mark.parametrize(
    ("text", "region_code"),
    [
        ("044 668 18 00", ""),
        ("+41 44 668", ""),
        ("abc", "CH"),
        ("+999 123456", ""),
        ("1" * 40, "CH"),
    ],
)
def test_phone_that_is_none_is_refused_without_being_repeated(text: str, region_code: str) -> None:
    with pytest.raises(InvalidPhone) as refusal:
        identities.phone(text, region_code)
    assert text not in repr(refusal.value)
