"""Why tiering does not do what it is asked."""

from uuid import UUID

from services.plumbing.errors import Clash, Invalid, Missing, Stale, Unmet


class RequestIdReused(Clash):
    reason = "REQUEST_ID_REUSED"

    def __init__(self) -> None:
        super().__init__("the request_id was used before with another body")


class GroupNotFound(Missing):
    reason = "TIER_GROUP_NOT_FOUND"

    def __init__(self, group: str) -> None:
        super().__init__(f"no rule set of {group} was ever in force", group=group)


class TierNotFound(Missing):
    reason = "TIER_NOT_FOUND"

    def __init__(self, tier: str) -> None:
        super().__init__(f"the rules in force know no tier {tier}", tier=tier)


class RuleSetNotFound(Missing):
    reason = "RULE_SET_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("no such rule set")


class AssignmentNotFound(Missing):
    reason = "ASSIGNMENT_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("no such assignment")


class MemberMerged(Unmet):
    reason = "MEMBER_MERGED"

    def __init__(self, into: UUID) -> None:
        name = f"members/{into}"
        super().__init__(f"the member is merged into {name}", into=name)


class PreviewNotFound(Missing):
    reason = "PREVIEW_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("no such preview")


class PreviewUnderWay(Unmet):
    reason = "PREVIEW_UNDER_WAY"

    def __init__(self) -> None:
        super().__init__("the preview is being computed already")


class PreviewFailed(Unmet):
    reason = "PREVIEW_FAILED"

    def __init__(self) -> None:
        super().__init__("the preview stopped before its end; it can be resumed")


class NotADraft(Unmet):
    reason = "NOT_A_DRAFT"

    def __init__(self, state: str) -> None:
        super().__init__(f"the rule set is {state}, and no draft any more", state=state)


class RuleSetInForce(Unmet):
    reason = "RULE_SET_IN_FORCE"

    def __init__(self) -> None:
        super().__init__("the rule set is in force or was; publish its successor")


class StaleEtag(Stale):
    reason = "STALE_ETAG"

    def __init__(self) -> None:
        super().__init__("the draft has changed since that etag; read it again")


class EffectiveDayClosed(Unmet):
    reason = "EFFECTIVE_DAY_CLOSED"

    def __init__(self, last_closed: str) -> None:
        super().__init__(
            f"{last_closed} is closed; rules come into force on a later day",
            last_closed=last_closed,
        )


class EffectiveDayTaken(Unmet):
    reason = "EFFECTIVE_DAY_TAKEN"

    def __init__(self, day: str) -> None:
        super().__init__(
            f"a rule set of the group comes into force on {day}; a later day is needed", day=day
        )


class ReplayAfterEffect(Invalid):
    reason = "REPLAY_AFTER_EFFECT"

    def __init__(self) -> None:
        super().__init__("replay_from_day must not be after effective_day")


class DemotesTooMany(Unmet):
    reason = "DEMOTES_TOO_MANY"

    def __init__(self, *, share: str, share_max: str, members: int) -> None:
        super().__init__(
            f"it would demote {members} members, a share of {share}, more than {share_max};"
            " confirm the share to publish it all the same",
            share=share,
            share_max=share_max,
            members=str(members),
        )


class LastDayPast(Invalid):
    reason = "LAST_DAY_PAST"

    def __init__(self, first_day: str) -> None:
        super().__init__(
            f"last_day must not be before {first_day}, the open business day", first_day=first_day
        )


class DayNotOver(Unmet):
    reason = "DAY_NOT_OVER"

    def __init__(self, day: str) -> None:
        super().__init__(f"{day} is not over", day=day)


class TooManyOpenDays(Unmet):
    reason = "TOO_MANY_OPEN_DAYS"

    def __init__(self, days: int, days_max: int) -> None:
        super().__init__(
            f"{days} days are open before it; at most {days_max} are closed in one call",
            days=str(days),
            days_max=str(days_max),
        )


class NotADay(Invalid):
    reason = "NOT_A_DAY"

    def __init__(self, field: str) -> None:
        super().__init__(f"{field}: is no day of the calendar", field=field)
