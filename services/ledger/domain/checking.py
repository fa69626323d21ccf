"""Recomputes what a document should have done from the journal alone: the check behind the audit
and ExplainEntry.
"""

from dataclasses import dataclass

import msgspec

from services.ledger.domain.basket import lines_from_json
from services.ledger.domain.documents import Document, DocumentType, Entry, Original
from services.ledger.domain.policy import PointKind
from services.ledger.domain.posting import Rules, TakenBack, changed_grants

# A rule, a kind, and its points.
Effect = tuple[str, PointKind, int]


@dataclass(frozen=True, slots=True)
class Check:
    """What a document's entries should be, and how those that are there differ."""

    expected: tuple[Effect, ...]
    problems: tuple[str, ...]


def check_document(document: Document, original: Original | None, rules: Rules) -> Check:
    """Recompute a document. original is the sale of a return as it was before that return."""
    if document.type is DocumentType.SALE:
        expected = sale_effects(document, rules)
        return Check(expected, tuple(differences(document, expected)))
    if document.type in (DocumentType.RETURN, DocumentType.VOID):
        if original is None:
            return Check((), ("its sale is not in the journal",))
        expected = return_effects(document, original, rules)
        return Check(expected, tuple(return_differences(document, expected)))
    return Check((), tuple(adjustment_differences(document)))


def sale_effects(document: Document, rules: Rules) -> tuple[Effect, ...]:
    grants = rules.earning(document.policy_version).earn(
        enumerate(lines_from_json(document.lines_json), 1),
        store=document.store,
        business_time=document.business_time,
    )
    return tuple((grant.rule, kind, grant.points) for grant in grants for kind in grant.kinds)


def return_effects(document: Document, original: Original, rules: Rules) -> tuple[Effect, ...]:
    back = msgspec.json.decode(document.lines_json, type=list[TakenBack])
    changes = changed_grants(original, back, rules.earning(original.policy_version))
    return tuple((grant.rule, kind, points) for kind, points, grant in changes)


def effect_of(entry: Entry) -> Effect:
    return entry.rule, entry.kind, entry.points


def differences(document: Document, expected: tuple[Effect, ...]) -> list[str]:
    found = tuple(effect_of(entry) for entry in document.entries)
    return [] if found == expected else [f"entries are {found}, recomputed {expected}"]


def return_differences(document: Document, expected: tuple[Effect, ...]) -> list[str]:
    """A return's entries are what was recomputed, less what was forgiven of redeemable points."""
    found = {(entry.rule, entry.kind): entry.points for entry in document.entries}
    forgiven = 0
    problems = []
    for rule, kind, points in expected:
        less = found.pop((rule, kind), 0) - points
        if less and (kind is PointKind.QUALIFYING or less < 0 or points > 0):
            problems.append(f"rule {rule}: off by {less}")
        forgiven += less
    if found:
        problems.append(f"entries nobody expects: {sorted(found)}")
    if forgiven != document.points_forgiven:
        problems.append(f"{document.points_forgiven} points forgiven, recomputed {forgiven}")
    return problems


def adjustment_differences(document: Document) -> list[str]:
    if len(document.entries) != 1 or not document.reason or not document.actor:
        return ["an adjustment has one entry, a reason and an actor"]
    return []
