"""The books in hledger's notation."""

from datetime import date

from services.ledger.domain.books import COMMODITIES, Posting, code, day_of, narration, postings
from services.ledger.domain.documents import Document


class Hledger:
    """Commodities and accounts are there from the beginning, so that `check --strict` passes."""

    def opening(self, day: date) -> str:
        del day
        return "".join(f"commodity 1. {name}\n" for name in COMMODITIES.values())

    def account(self, name: str, day: date) -> str:
        del day
        return f"account {name}\n"

    def transaction(self, shard: int, document: Document) -> str:
        # A semicolon would begin a comment.
        words = narration(document).replace(";", ",")
        lines = [
            f"\n{day_of(document.business_time)} * ({code(shard, document.document_id)}) {words}"
        ]
        if document.original_id:
            lines[0] += f"  ; of: {code(shard, document.original_id)}"
        for posting in postings(document):
            comment = f"  ; rule: {posting.rule}" if posting.rule else ""
            lines.append(f"    {posting.account}  {posting.amount}{comment}")
        return "\n".join(lines) + "\n"

    def assertion(self, holding: Posting, day: date) -> str:
        nothing = Posting(holding.account, 0, holding.kind).amount
        return f"\n{day} * balance\n    {holding.account}  {nothing} = {holding.amount}\n"
