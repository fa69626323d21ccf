"""What an audit finds, and what an announcement of a batch must say."""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

# Of each check; books that are off everywhere must not fill the memory.
PROBLEMS_NAMED_MAX = 100

DEBITS_EQUAL_CREDITS = "debits_equal_credits"
BALANCES_AGREE = "balances_equal_lots_and_entries"
DOCUMENTS_IN_SEQUENCE = "documents_in_sequence"
LOTS_ADD_UP = "lots_add_up"
ENTRIES_RECOMPUTE = "entries_recompute"
FORGIVEN_MADE_GOOD = "forgiven_made_good"
REQUESTS_APPLIED_ONCE = "requests_applied_once"
BATCHES_MATCH_JOURNAL = "batches_match_journal"
TRANSFERS_ARRIVE = "transfers_arrive"
SHARED_HOLDS_AGREE = "shared_holds_agree"
MERGES_END = "merges_end"
OUTBOX_COMPLETE = "outbox_complete"

# Every check in the order it is reported, and what it proves.
CHECKS = {
    DEBITS_EQUAL_CREDITS: "in every batch, what each account gave is what wallets got",
    BALANCES_AGREE: "every wallet holds what its lots hold and what its entries sum to",
    DOCUMENTS_IN_SEQUENCE: "a wallet's documents have no gap, each balance continues the last",
    LOTS_ADD_UP: "every lot is what one entry opened it with, less what was used",
    ENTRIES_RECOMPUTE: "every entry follows from its sale and the policy version in force",
    FORGIVEN_MADE_GOOD: "points that come back make good what returns forgave since they left",
    REQUESTS_APPLIED_ONCE: "no wallet has a request twice, refused ones included",
    BATCHES_MATCH_JOURNAL: "every batch has the documents and entries it says",
    TRANSFERS_ARRIVE: "what members send each other arrives whole and as it was, or never left",
    SHARED_HOLDS_AGREE: "every hold over several wallets is what these hold, burned and got back",
    MERGES_END: "nobody was merged into themselves, whoever is between",
    OUTBOX_COMPLETE: "every batch and every policy is announced once, as it was posted",
}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """How much a check compared, and what is off: how often, and the first of it."""

    name: str
    checked: int = 0
    problem_count: int = 0
    problems: tuple[str, ...] = ()

    def __add__(self, other: "CheckResult") -> "CheckResult":
        """The same check over more of the books."""
        return CheckResult(
            self.name,
            self.checked + other.checked,
            self.problem_count + other.problem_count,
            (self.problems + other.problems)[:PROBLEMS_NAMED_MAX],
        )


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What the checks found over all shards."""

    checks: tuple[CheckResult, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        return not any(check.problem_count for check in self.checks)


def combined(results: Iterable[CheckResult]) -> tuple[CheckResult, ...]:
    """One result for each check, in the order of CHECKS."""
    found = {name: CheckResult(name) for name in CHECKS}
    for result in results:
        found[result.name] += result
    return tuple(found.values())


class Tally:
    """Counts what one check compares, and keeps the first problems."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._checked = 0
        self._count = 0
        self._problems: list[str] = []

    def add(self, subject: str, problems: Iterable[str]) -> None:
        """One more thing was compared; problems say how it is off, if it is."""
        self._checked += 1
        details = "; ".join(problems)
        if details:
            self._count += 1
            if len(self._problems) < PROBLEMS_NAMED_MAX:
                self._problems.append(f"{subject}: {details}")

    @property
    def result(self) -> CheckResult:
        return CheckResult(self._name, self._checked, self._count, tuple(self._problems))


class AnnouncedEntry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    ordinal: int
    kind: int
    points: int
    rule: str


class AnnouncedDocument(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A posted document as the event of its batch tells of it."""

    document_id: int
    wallet_id: int
    type: int
    business_time: int
    store: str
    amount: int
    original_id: int
    currency: str
    entries: tuple[AnnouncedEntry, ...]


def announcement_differences(
    posted: Iterable[AnnouncedDocument], announced: Iterable[AnnouncedDocument]
) -> list[str]:
    """How an announcement differs from the documents it is about, a sentence for each."""
    expected = {document.document_id: document for document in posted}
    found: dict[int, AnnouncedDocument] = {}
    problems = []
    for document in announced:
        if document.document_id in found:
            problems.append(f"document {document.document_id} is announced twice")
        found[document.document_id] = document
    for document_id, document in expected.items():
        where = f"wallet {document.wallet_id}, document {document_id}"
        if document_id not in found:
            problems.append(f"{where} is not announced")
        elif found[document_id] != document:
            problems.append(f"{where} is announced otherwise than it was posted")
    problems += [
        f"document {number} is announced, not posted" for number in found.keys() - expected
    ]
    return problems
