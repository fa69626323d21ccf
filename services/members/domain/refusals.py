"""Why members does not do what it is asked. No text carries an identity: it could reach a log."""

from services.plumbing.errors import Clash, FieldViolation, Invalid, Missing, Stale, Unmet


class IdentityTaken(Clash):
    """Names the kind alone: whose it is, is nobody's business."""

    reason = "IDENTITY_TAKEN"

    def __init__(self, kind: str) -> None:
        super().__init__(f"that {kind} belongs to a member already", kind=kind)


class RequestIdReused(Clash):
    reason = "REQUEST_ID_REUSED"

    def __init__(self) -> None:
        super().__init__("the request_id was used before with another body")


class MemberNotFound(Missing):
    reason = "MEMBER_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("no such member")


class CardNotFound(Missing):
    reason = "CARD_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("no such card")


class CardBlocked(Unmet):
    reason = "CARD_BLOCKED"

    def __init__(self) -> None:
        super().__init__("the card is replaced or blocked")


class StaleEtag(Stale):
    reason = "STALE_ETAG"

    def __init__(self) -> None:
        super().__init__("the member has changed since that etag; read it again")


class _WrongField(Invalid):
    """One field is wrong; what stands in it is never repeated."""

    def __init__(self, field: str, description: str) -> None:
        violation = FieldViolation(field, description)
        super().__init__(f"{field}: {description}", violations=[violation], field=field)


class RawCardNumber(_WrongField):
    """A payment card's own number where a token is wanted."""

    reason = "RAW_CARD_NUMBER"

    def __init__(self, field: str) -> None:
        super().__init__(field, "is a real card number; send a token that stands for it")


class InvalidCardToken(_WrongField):
    reason = "INVALID_CARD_TOKEN"

    def __init__(self, field: str) -> None:
        super().__init__(field, 'must be 4 to 64 letters, digits or any of ". _ : -"')


class InvalidPhone(_WrongField):
    reason = "INVALID_PHONE"

    def __init__(self, field: str) -> None:
        super().__init__(field, "must be a phone number, international or with its region_code")


class InvalidMembershipNumber(_WrongField):
    reason = "INVALID_MEMBERSHIP_NUMBER"

    def __init__(self, field: str) -> None:
        super().__init__(field, "must be 13 digits of which the last is right")


class TimeInFuture(_WrongField):
    reason = "TIME_IN_FUTURE"

    def __init__(self, field: str) -> None:
        super().__init__(field, "must not lie in the future")


class UnknownField(_WrongField):
    reason = "UNKNOWN_FIELD"

    def __init__(self) -> None:
        super().__init__("update_mask", "names a field that does not exist or cannot be changed")
