"""Recomputes what a document should have done from the journal alone: the check behind the audit
and ExplainEntry.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from services.ledger.domain.basket import lines_from_json
from services.ledger.domain.circumstances import Rules
from services.ledger.domain.documents import Account, Document, DocumentType, Entry, Original
from services.ledger.domain.earning import Grant
from services.ledger.domain.forgiving import makes_good
from services.ledger.domain.lots import Hold, Refunded, SentPart
from services.ledger.domain.policy import Clawback, PointKind, Policy
from services.ledger.domain.restoring import RESTORED
from services.ledger.domain.returning import TakenBack, changed_grants, part_of
from services.ledger.domain.tendering import earning_lines, points_due_back
from services.plumbing.errors import Refused

REDEEMABLE = PointKind.REDEEMABLE
# A rule, a kind, and its points.
Effect = tuple[str, PointKind, int]


@dataclass(frozen=True, slots=True)
class Check:
    """What a document's entries should be, and how those that are there differ."""

    expected: tuple[Effect, ...]
    problems: tuple[str, ...]


def check_document(document: Document, original: Original | None, rules: Rules) -> Check:
    """Recompute a document. original is the sale of a return as it was before that return."""
    if document.type is DocumentType.ADJUSTMENT:
        return Check((), tuple(adjustment_differences(document)))
    if document.type in LIVED:
        return Check((), tuple(lived_differences(document)))
    if not rules.book.has(document.policy_version):
        return Check((), (f"policy version {document.policy_version} does not exist",))
    try:
        if document.type is DocumentType.SALE:
            return check_sale(document, rules)
        if original is None:
            return Check((), ("its sale is not in the journal, or cannot be read",))
        return check_return(document, original, rules)
    except msgspec.MsgspecError:
        return Check((), ("its lines cannot be read",))


def check_sale(document: Document, rules: Rules) -> Check:
    lines = lines_from_json(document.lines_json)
    earning = rules.earning(document.policy_version)
    paid = document.tender.amount if document.tender is not None else 0
    grants = earning.earn(
        earning_lines(enumerate(lines, 1), paid, earning.policy),
        store=document.store,
        business_time=document.business_time,
        standing=document.standing,
    )
    effects = tuple((grant.rule, kind, grant.points) for grant in grants for kind in grant.kinds)
    problems = list(policy_differences(document, rules))
    amount = sum([line.amount for line in lines])
    if amount != document.amount:
        problems.append(f"its amount is {document.amount}, its lines' {amount}")
    problems += tender_differences(document, earning.policy)
    earned = [entry for entry in document.entries if entry.account is not Account.REDEMPTION]
    problems += entry_differences(earned, grants)
    return Check(effects, tuple(problems))


def tender_differences(document: Document, policy: Policy) -> Iterator[str]:
    """How the points a sale was paid with differ from those burned, and from their worth."""
    burned = -sum(e.points for e in document.entries if e.account is Account.REDEMPTION)
    tender = document.tender
    if burned != (tender.points if tender is not None else 0):
        yield f"it burned {burned} points, it was paid with {tender.points if tender else 0}"
    if tender is None:
        return
    if tender.points != sum(part.points for part in tender.parts):
        yield "the lots it was paid with do not add up"
    redemption = policy.redemption
    if redemption is None or tender.amount * redemption.points != tender.points * redemption.amount:
        yield f"its {tender.points} points were not worth {tender.amount}"


def policy_differences(document: Document, rules: Rules) -> Iterator[str]:
    policy = rules.book.in_force(document.business_time)
    if policy is None or policy.version != document.policy_version:
        version = policy.version if policy else "none"
        yield f"it earned by policy version {document.policy_version}, in force was {version}"
    elif policy.currency != document.currency:
        yield f"its currency is {document.currency}, the policy's {policy.currency}"


def entry_differences(entries: Sequence[Entry], grants: Sequence[Grant]) -> Iterator[str]:
    """How a sale's entries differ from its grants."""
    found = [
        (e.rule, e.kind, e.points, e.policy_version, e.lines, e.basis, e.account) for e in entries
    ]
    expected = [
        (g.rule, kind, g.points, g.policy_version, g.lines, g.basis, Account.ISSUANCE)
        for g in grants
        for kind in g.kinds
    ]
    if found != expected:
        yield f"its entries are {_listed(found)}, recomputed {_listed(expected)}"


def _listed(effects: Sequence[tuple[str, PointKind, int, int, Sequence[int], int, Account]]) -> str:
    return (
        ", ".join(
            f"{points} {kind.name.lower()} by {rule} for {basis} minor units of lines {list(lines)}"
            for rule, kind, points, _, lines, basis, _ in effects
        )
        or "none"
    )


def check_return(document: Document, original: Original, rules: Rules) -> Check:
    back = msgspec.json.decode(document.lines_json, type=list[TakenBack])
    problems = list(taken_differences(document, original, back))
    if problems:
        return Check((), tuple(problems))
    problems += given_back_differences(document, original, rules)
    changes = changed_grants(original, back, rules.earning(original.policy_version))
    expected = tuple((grant.rule, kind, points) for kind, points, grant in changes)
    problems += return_differences(document, expected)
    settings = rules.book.version(original.policy_version).settings
    if document.points_forgiven and settings.clawback is Clawback.ALLOW_NEGATIVE:
        problems.append("points are forgiven that the wallet should owe")
    return Check(expected, tuple(problems))


def taken_differences(
    document: Document, original: Original, back: Sequence[TakenBack]
) -> Iterator[str]:
    """How what a return took differs from what could be taken of its sale."""
    if (document.policy_version, document.currency) != (original.policy_version, original.currency):
        yield "its policy version or currency is not its sale's"
    if document.amount != -sum(taken.amount for taken in back):
        yield f"its amount is {document.amount}, not what its lines sum to"
    if len({taken.line for taken in back}) != len(back):
        yield "it takes a line back twice"
    for taken in back:
        try:
            there = 1 <= taken.line <= len(original.lines)
            if not there or part_of(original, taken.line, taken.quantity) != taken:
                yield f"line {taken.line}: it takes back what was not bought so"
        except Refused:
            yield f"line {taken.line}: it takes back more than was left"


def given_back_differences(document: Document, original: Original, rules: Rules) -> Iterator[str]:
    """How the points a return gave back differ from those that were due."""
    given = sum(e.points for e in document.entries if e.account is Account.REDEMPTION)
    policy = rules.book.version(original.policy_version)
    due = points_due_back(original, original.returned_amount - document.amount, policy)
    said = document.tender.points if document.tender is not None else 0
    if (given, said) != (due, due):
        yield f"it gave {given} points back and says {said}, due were {due}"


def return_differences(document: Document, expected: Sequence[Effect]) -> Iterator[str]:
    """A return's entries are what was recomputed, less what was forgiven of redeemable points."""
    entries = [e for e in document.entries if e.account is not Account.REDEMPTION]
    # What of the sale's points had expired is undone before they are taken back.
    entries = [e for e in entries if (e.account, e.rule) != (Account.BREAKAGE, RESTORED)]
    entries = [e for e in entries if not makes_good(e)]
    found = {(entry.rule, entry.kind): entry.points for entry in entries}
    forgiven = 0
    for rule, kind, points in expected:
        less = found.pop((rule, kind), 0) - points
        if less and (kind is PointKind.QUALIFYING or less < 0 or points > 0):
            yield f"rule {rule}: off by {less}"
        forgiven += less
    if found:
        yield f"entries nobody expects: {sorted(found)}"
    if forgiven != document.points_forgiven:
        yield f"{document.points_forgiven} points forgiven, recomputed {forgiven}"
    if any(entry.account is not Account.ISSUANCE for entry in entries):
        yield "an entry is not against issuance"


# Documents of points that are spent, given back, sent, and grow old, with the account their entries
# are against, but for those that make good what was forgiven; None where they have no others.
LIVED = {
    DocumentType.HOLD: None,
    DocumentType.RELEASE: None,
    DocumentType.ACTIVATION: None,
    DocumentType.BURN: Account.REDEMPTION,
    DocumentType.REFUND: Account.REDEMPTION,
    DocumentType.EXPIRY: Account.BREAKAGE,
    DocumentType.SEND: Account.TRANSFER,
    DocumentType.RECEIVE: Account.TRANSFER,
}


def lived_differences(document: Document) -> Iterator[str]:
    """What they moved is what they say."""
    account = LIVED[document.type]
    entries = [entry for entry in document.entries if not makes_good(entry)]
    if any(e.account is not account or e.kind is not REDEEMABLE for e in entries):
        yield "its entries are against another account"
    moved = sum(entry.points for entry in entries)
    try:
        said = said_points(document)
    except msgspec.MsgspecError:
        yield "what it is about cannot be read"
        return
    if said is not None and moved != said:
        yield f"it moved {moved} points and says {said}"


def said_points(document: Document) -> int | None:
    """The points a document says it moved; None where only its lots tell."""
    if document.type is DocumentType.BURN:
        return -msgspec.json.decode(document.lines_json, type=Hold).captured
    if document.type is DocumentType.REFUND:
        parts = msgspec.json.decode(document.lines_json, type=list[Refunded])
        return sum(part.points for part in parts)
    if document.type in (DocumentType.SEND, DocumentType.RECEIVE):
        sent = msgspec.json.decode(document.lines_json, type=list[SentPart])
        points = sum(part.points for part in sent)
        return -points if document.type is DocumentType.SEND else points
    return None


def adjustment_differences(document: Document) -> Iterator[str]:
    accounts = [entry.account for entry in document.entries]
    if accounts != [Account.ADJUSTMENT] or not document.reason or not document.actor:
        yield "an adjustment has one entry, a reason and an actor"
