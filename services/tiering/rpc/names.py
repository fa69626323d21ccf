"""Names and days as the contract writes them, and as we do."""

from datetime import date
from uuid import UUID

from services.tiering.domain.calendar import to_day
from services.tiering.domain.refusals import NotADay
from services.tiering.storage.rule_sets import Name


def read_day(text: str, *, field: str) -> int:
    """Refuses: NotADay."""
    try:
        return to_day(date.fromisoformat(text))
    except ValueError:
        raise NotADay(field) from None


def read_optional_day(text: str, *, field: str) -> int | None:
    """None for an empty one. Refuses: NotADay."""
    return read_day(text, field=field) if text else None


def read_group(name: str) -> str:
    return name.removeprefix("tierGroups/")


def read_member(name: str) -> UUID:
    return UUID(name.removeprefix("members/"))


def read_rule_set(name: str) -> Name:
    _, group, _, version = name.split("/")
    # No version has more digits than the database's integer; a greater one is nobody's.
    return Name(group, int(version))


def read_preview(name: str) -> UUID:
    return UUID(name.removeprefix("previews/"))


def preview_name(preview_id: UUID) -> str:
    return f"previews/{preview_id.hex}"


def rule_set_name(group: str, version: int) -> str:
    return f"tierGroups/{group}/ruleSets/{version}"
