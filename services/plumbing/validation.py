"""Messages checked against the rules of validity that stand in their .proto."""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from google.protobuf.message import Message
from protovalidate import Validator

from services.plumbing.errors import FieldViolation, Invalid

# More would not help who reads them.
VIOLATIONS_MAX = 50

_NONE: Mapping[int, Invalid] = {}
_items: ContextVar[Mapping[int, Invalid]] = ContextVar("items", default=_NONE)


def refused_items() -> Mapping[int, Invalid]:
    """Why items of the request at hand, by their position, break a rule.

    Only for a method whose contract says `answered_by_item`; for any other such a request is
    refused.
    """
    return _items.get()


class Validation:
    # One for the process: it keeps what the rules of every message were compiled to.
    _validator = Validator()

    def check(self, message: Message, *, by_item: str = "") -> None:
        """Refuses: Invalid INVALID_REQUEST with the fields that are wrong.

        What is wrong within an item of the repeated field by_item is kept for `refused_items`.
        """
        found = self._validator.collect_violations(message)
        if not found:
            if by_item:
                _items.set(_NONE)
            return
        whole: list[FieldViolation] = []
        items: dict[int, list[FieldViolation]] = {}
        for violation in found:
            elements = violation.proto.field.elements if violation.proto.field else []
            described = violation.proto.message or violation.proto.rule_id
            position = _item(elements, by_item)
            if position is None:
                whole.append(FieldViolation(_path(elements), described))
            else:
                violations = items.setdefault(position, [])
                violations.append(FieldViolation(_path(elements[1:]), described))
        if whole:
            raise invalid(whole)
        _items.set({position: invalid(violations) for position, violations in items.items()})


def invalid(violations: Sequence[FieldViolation]) -> Invalid:
    first = violations[0]
    return Invalid(
        f"{first.field or 'the request'}: {first.description}",
        violations=violations[:VIOLATIONS_MAX],
    )


def _item(elements: Sequence[Any], by_item: str) -> int | None:
    """The position of the item that a violation lies within; None when it lies in the whole."""
    if not by_item or not elements or elements[0].field_name != by_item:
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
