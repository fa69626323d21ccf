"""The identities a member is known by: how they are written and which are believed."""

import re
from dataclasses import dataclass
from enum import StrEnum

import phonenumbers
from stdnum import luhn

from services.members.domain.refusals import (
    CardNotFound,
    InvalidCardToken,
    InvalidMembershipNumber,
    InvalidPhone,
    RawCardNumber,
)
from services.plumbing.errors import Missing

MEMBERSHIP_NUMBER_DIGITS = 13
# The first payload; no number begins with a zero, which spreadsheets drop.
MEMBERSHIP_NUMBER_START = 10 ** (MEMBERSHIP_NUMBER_DIGITS - 2)
MEMBERSHIP_NUMBER = re.compile(r"[0-9]{13}")
# The primary account number of ISO/IEC 7812; it ends with a Luhn check digit.
RAW_CARD_NUMBER = re.compile(r"[0-9]{13,19}")
# What tills send too.
CARD_TOKEN = re.compile(r"[A-Za-z0-9._:-]{4,64}")
NOT_ALPHANUMERIC = re.compile(r"[\W_]")


class IdentityKind(StrEnum):
    CARD = "card_token"
    EMAIL = "email"
    MEMBERSHIP_NUMBER = "membership_number"
    PHONE = "phone"


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """Something that names one member. Ordered: all writers take identities in one order."""

    kind: IdentityKind
    value: str


def membership_number(sequence: int) -> str:
    """The number of the sequence-th enrolment: thirteen digits, the last a Luhn check digit."""
    payload = str(MEMBERSHIP_NUMBER_START + sequence)
    return payload + luhn.calc_check_digit(payload)


def read_membership_number(text: str, *, field: str = "membership_number") -> str:
    """As printed, with spaces or dashes, to digits alone. Refuses: InvalidMembershipNumber."""
    digits = NOT_ALPHANUMERIC.sub("", text)
    if not MEMBERSHIP_NUMBER.fullmatch(digits) or not luhn.is_valid(digits):
        raise InvalidMembershipNumber(field)
    return digits


def is_raw_card_number(text: str) -> bool:
    """Whether this is a payment card's own number, however it is spaced or punctuated."""
    digits = NOT_ALPHANUMERIC.sub("", text)
    return RAW_CARD_NUMBER.fullmatch(digits) is not None and luhn.is_valid(digits)


def new_card_token(text: str, *, field: str = "card_token") -> str:
    """A token to issue. Refuses: RawCardNumber, InvalidCardToken."""
    if is_raw_card_number(text):
        raise RawCardNumber(field)
    if not CARD_TOKEN.fullmatch(text):
        raise InvalidCardToken(field)
    return text


def issued_card_token(
    text: str, *, field: str = "card_token", missing: type[Missing] = CardNotFound
) -> str:
    """A token that names a card already issued. Refuses: RawCardNumber, or what is missing."""
    if is_raw_card_number(text):
        raise RawCardNumber(field)
    if not CARD_TOKEN.fullmatch(text):
        raise missing
    return text


def email(text: str) -> str:
    """An address as it is stored and compared: lower case."""
    return text.strip().lower()


def phone(text: str, region_code: str, *, field: str = "phone") -> str:
    """A number in E.164; region_code says how to read a national one. Refuses: InvalidPhone."""
    try:
        parsed = phonenumbers.parse(text, region_code or None)
    except phonenumbers.NumberParseException:
        raise InvalidPhone(field) from None
    if not phonenumbers.is_valid_number(parsed):
        raise InvalidPhone(field)
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
