"""Why members does not do what it is asked. No text carries an identity: it could reach a log."""

from uuid import UUID

from services.members.domain.names import member_name
from services.plumbing.errors import (
    Clash,
    Exhausted,
    FieldViolation,
    Forbidden,
    Invalid,
    Missing,
    Stale,
    Unmet,
)


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


class MemberMerged(Unmet):
    """Names whom the member counts as now: that one is to be asked for."""

    reason = "MEMBER_MERGED"

    def __init__(self, into: UUID) -> None:
        name = member_name(into)
        super().__init__(f"the member is merged into {name}", into=name)


class MemberErased(Unmet):
    reason = "MEMBER_ERASED"

    def __init__(self) -> None:
        super().__init__("the member is erased")


class MemberBlocked(Unmet):
    reason = "MEMBER_BLOCKED"

    def __init__(self) -> None:
        super().__init__("the member is blocked")


class NotYours(Forbidden):
    reason = "NOT_YOURS"

    def __init__(self) -> None:
        super().__init__("the token opens only its subject's own")


class MergeNotFound(Missing):
    reason = "MERGE_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("no such merge")


class MergeWithSelf(Invalid):
    reason = "MERGE_WITH_SELF"

    def __init__(self) -> None:
        super().__init__("a member cannot be merged with themselves")


class TooManyMerged(Unmet):
    reason = "TOO_MANY_MERGED"

    def __init__(self, most: int) -> None:
        super().__init__(f"no more than {most} members may be one", most=str(most))


class HouseholdNotFound(Missing):
    reason = "HOUSEHOLD_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("no such household")


class HouseholdEnded(Unmet):
    reason = "HOUSEHOLD_ENDED"

    def __init__(self) -> None:
        super().__init__("the household has ended")


class HouseholdFull(Unmet):
    reason = "HOUSEHOLD_FULL"

    def __init__(self, most: int) -> None:
        super().__init__(f"a household has at most {most} members", most=str(most))


class MemberInHousehold(Unmet):
    reason = "MEMBER_IN_HOUSEHOLD"

    def __init__(self) -> None:
        super().__init__("the member is in a household")


class NotInHousehold(Unmet):
    reason = "NOT_IN_HOUSEHOLD"

    def __init__(self) -> None:
        super().__init__("the member is not in that household, or in none")


class OwnerMustHandOver(Unmet):
    reason = "OWNER_MUST_HAND_OVER"

    def __init__(self) -> None:
        super().__init__("the owner hands the household over before leaving the others")


class InvitationNotFound(Missing):
    """Also said of an invitation for somebody else."""

    reason = "INVITATION_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("no such invitation")


class InvitationEnded(Unmet):
    reason = "INVITATION_ENDED"

    def __init__(self, state: str) -> None:
        super().__init__(f"the invitation was {state}", state=state)


class InvitationExpired(Unmet):
    reason = "INVITATION_EXPIRED"

    def __init__(self) -> None:
        super().__init__("the invitation has expired")


class AlreadyInvited(Unmet):
    reason = "ALREADY_INVITED"

    def __init__(self) -> None:
        super().__init__("an invitation of the household for that member is open")


class TooManyInvitations(Exhausted):
    """Others end or expire."""

    reason = "TOO_MANY_INVITATIONS"

    def __init__(self, most: int) -> None:
        super().__init__(f"at most {most} invitations may be open", most=str(most))


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
