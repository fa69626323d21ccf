"""The books in beancount's notation."""

from datetime import date

from services.ledger.domain.books import (
    COMMODITIES,
    TITLE,
    Posting,
    code,
    day_of,
    narration,
    postings,
)
from services.ledger.domain.documents import Document
from services.ledger.domain.policy import PointKind

HELD = ",".join(COMMODITIES.values())


class Beancount:
    """Documents are linked by their codes, returns with their sales."""

    def opening(self, day: date) -> str:
        main = COMMODITIES[PointKind.REDEEMABLE]
        options = f'option "title" "{TITLE}"\noption "operating_currency" "{main}"\n\n'
        return options + "".join(f"{day} commodity {name}\n" for name in COMMODITIES.values())

    def account(self, name: str, day: date) -> str:
        return f"{day} open {name} {HELD}\n"

    def transaction(self, shard: int, document: Document) -> str:
        links = f"^{code(shard, document.document_id)}"
        if document.original_id:
            links += f" ^{code(shard, document.original_id)}"
        words = narration(document).replace("\\", "\\\\").replace('"', '\\"')
        lines = [f'\n{day_of(document.business_time)} * "{words}" {links}']
        for posting in postings(document):
            lines.append(f"  {posting.account}  {posting.amount}")
            if posting.rule:
                lines.append(f'    rule: "{posting.rule}"')
        return "\n".join(lines) + "\n"

    def assertion(self, holding: Posting, day: date) -> str:
        return f"{day} balance {holding.account}  {holding.amount}\n"
