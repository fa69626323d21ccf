"""Rules between the contract and the domain: the same words, where an enum or a oneof allows."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from google.protobuf.json_format import MessageToDict, ParseDict
from loyalty.tiering.v1 import rules_pb2

from services.tiering.domain.rules import RuleSet, RuleSetInvalid

# The prefix of each enum's values; the rest, in lower case, is the domain's word.
ENUMS = {
    "evaluation": "EVALUATION_",
    "downgrade": "DOWNGRADE_",
    "counting": "COUNTING_",
    "join": "JOIN_",
}
# Messages that hold one of several kinds; the kind is the domain's tag.
CHOICES = ("window", "keeping", "keeping_after_downgrade")


def read_rules(message: rules_pb2.Rules) -> RuleSet:
    """Refuses: RuleSetInvalid, for what the rules of validity let through and no rule set is."""
    plain = MessageToDict(message, preserving_proto_field_name=True)
    try:
        return msgspec.convert(_translated(plain, _read_field), RuleSet, strict=False)
    except msgspec.ValidationError as error:
        raise RuleSetInvalid(f"not a rule set: {error}") from None


def write_rules(rules: RuleSet) -> rules_pb2.Rules:
    """In full: what was left out when they were drafted stands there as it is meant."""
    return ParseDict(_translated(_plain(rules), _write_field), rules_pb2.Rules())


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        tag = value.__struct_config__.tag
        fields = {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
        present = {name: found for name, found in fields.items() if found is not None}
        return {"type": tag, **present} if tag else present
    if isinstance(value, Mapping):
        return {key: _plain(found) for key, found in value.items()}
    if isinstance(value, tuple):
        return [_plain(found) for found in value]
    return value


Fields = Mapping[str, Any]
Field = Callable[[str, Any], Any]


def _translated(plain: Fields, field: Field) -> dict[str, Any]:
    found = {}
    for name, value in plain.items():
        # What people named themselves is nobody's word to translate.
        if name == "other":
            found[name] = value
            continue
        inner = value
        if isinstance(value, Mapping):
            inner = _translated(value, field)
        elif isinstance(value, list | tuple):
            inner = [_translated(v, field) if isinstance(v, Mapping) else v for v in value]
        translated = field(name, inner)
        if translated is not None:
            found[name] = translated
    return found


def _read_field(name: str, value: Any) -> Any:
    if name in ENUMS and isinstance(value, str):
        return value.removeprefix(ENUMS[name]).lower()
    if name in CHOICES and isinstance(value, dict):
        ((kind, chosen),) = value.items()
        return {"type": kind, **chosen}
    return value


def _write_field(name: str, value: Any) -> Any:
    if name in ENUMS and isinstance(value, str):
        return ENUMS[name] + value.upper()
    if name in CHOICES and isinstance(value, dict):
        chosen = {key: inner for key, inner in value.items() if key != "type"}
        return {value["type"]: chosen}
    return value
