"""Messages checked against the rules of validity that stand in their .proto."""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from google.protobuf.message import Message
from protovalidate import Validator

from services.plumbing.errors import FieldViolation, Invalid

# More would not help who reads them.
VIOLATIONS_MAX = 50

Items = Mapping[int, Invalid]

_to_check: ContextVar["ItemsToCheck"] = ContextVar("to_check")


def refused_items() -> Items:
    """Why items of the request at hand, by their position, break a rule. Refuses: Invalid where
    more than items is wrong.

    For a method whose contract says `answered_by_item`, which asks when it is about to read the
    items: a large request is checked when its turn comes, not when it arrives.
    """
    return _to_check.get().refused()


class Validation:
    # One for the process: it keeps what the rules of every message were compiled to.
    _validator = Validator()

    def check(self, message: Message) -> None:
        """Refuses: Invalid INVALID_REQUEST with the fields that are wrong."""
        self.check_items(message, "")

    def check_items(self, message: Message, field: str) -> Items:
        """What is wrong within items of a repeated field, by their position. Refuses: Invalid for
        all that is wrong elsewhere.
        """
        whole: list[FieldViolation] = []
        items: dict[int, list[FieldViolation]] = {}
        for violation in self._validator.collect_violations(message):
            elements = violation.proto.field.elements if violation.proto.field else []
            described = violation.proto.message or violation.proto.rule_id
            position = _item(elements, field)
            if position is None:
                whole.append(FieldViolation(_path(elements), described))
            else:
                violations = items.setdefault(position, [])
                violations.append(FieldViolation(_path(elements[1:]), described))
        if whole:
            raise invalid(whole)
        return {position: invalid(violations) for position, violations in items.items()}


class ItemsToCheck:
    """A request whose items its method answers for; the method at hand asks by `refused_items`."""

    def __init__(self, validation: Validation, message: Message, field: str) -> None:
        self._validation = validation
        self._message = message
        self._field = field
        self._refused: Items | None = None
        _to_check.set(self)

    @property
    def checked(self) -> bool:
        return self._refused is not None

    def refused(self) -> Items:
        if self._refused is None:
            self._refused = self._validation.check_items(self._message, self._field)
        return self._refused


def invalid(violations: Sequence[FieldViolation]) -> Invalid:
    first = violations[0]
    return Invalid(
        f"{first.field or 'the request'}: {first.description}",
        violations=violations[:VIOLATIONS_MAX],
    )


def _item(elements: Sequence[Any], field: str) -> int | None:
    """The position of the item that a violation lies within; None when it lies in the whole."""
    if not field or not elements or elements[0].field_name != field:
        return None
    subscript = elements[0].subscript
    return int(subscript.value) if subscript is not None else None


def _path(elements: Sequence[Any]) -> str:
    parts = []
    for element in elements:
        subscript = element.subscript
        position = f"[{subscript.value}]" if subscript is not None else ""
        parts.append(element.field_name + position)
    return ".".join(parts)
