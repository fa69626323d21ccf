"""What may stand for a customer's card, and what may not."""

import re

from stdnum import luhn

from services.ledger.domain.refusals import RawCardNumber

_SEPARATORS = re.compile(r"[-._:]")


def looks_like_card_number(token: str) -> bool:
    """Whether a token is 13 to 19 digits with a valid Luhn check digit, separators aside
    (ISO/IEC 7812-1).
    """
    digits = token if token.isdigit() else _SEPARATORS.sub("", token)
    return 13 <= len(digits) <= 19 and digits.isdigit() and bool(luhn.is_valid(digits))


def refuse_raw_card_number(token: str) -> None:
    """Refuses: RawCardNumber. The number is nowhere in the refusal."""
    if looks_like_card_number(token):
        raise RawCardNumber("this looks like a real card number; send a token for it instead")
