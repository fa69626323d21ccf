"""Sixteen months of a small ledger, chosen by a seed: sales, returns, spending, refunds, gifts,
debts, and nights that let points expire.
"""

import uuid
from datetime import UTC, date, datetime, timedelta
from random import Random

import msgspec

from services.ledger.domain import night
from services.ledger.domain.documents import (
    CapturePoints,
    Command,
    Document,
    HoldPoints,
    Origin,
    RefundPoints,
    ReleaseHold,
)
from services.ledger.domain.point_life import Expiry, PointLife
from services.ledger.domain.policy import Clawback
from services.plumbing.database import engine
from tests.service.ledger_history import DAY, SHARDS, Tills, apples, bread, policy

FIRST_DAY, LAST_DAY = date(2023, 1, 3), date(2024, 4, 27)
WALLETS = range(1, 7)
DEBTOR = 7
LIFE = PointLife(expiry=Expiry.MONTH_END, expiry_count=5, pending_days=2, refund_grace_days=40)


def noon(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()) * 1_000_000


class Year:
    """What happens to a ledger day by day."""

    def __init__(self, tills: Tills, seed: int) -> None:
        self._tills = tills
        self._chance = Random(seed)  # noqa: S311 — nothing secret is chosen
        self._sales: list[Document] = []
        self._holds: list[Document] = []
        self._burns: list[Document] = []

    def live(self) -> None:
        day = FIRST_DAY
        while day <= LAST_DAY:
            self._tills.business_time = noon(day)
            for _ in range(self._chance.randrange(4)):
                self._something(self._chance.choice(WALLETS))
            self.close(day)
            day += timedelta(days=self._chance.choice((1, 3, 9)))

    def _something(self, wallet_id: int) -> None:
        chance = self._chance
        match chance.randrange(10):
            case 0 | 1 | 2 | 3:
                lines = [bread(chance.randint(50, 9_000)), apples(chance.randint(50, 4_000))]
                self._post(self._tills.sale(wallet_id, *lines), self._sales)
            case 4 if self._sales:
                sold = chance.choice(self._sales)
                origin = Origin(sale_id=sold.document_id)
                self._post(self._tills.take_back(sold.wallet_id, origin))
            case 5:
                self._post(self._tills.adjustment(wallet_id, chance.choice((-30, 20, 45))))
            case 6 if self._burns:
                burn = chance.choice(self._burns)
                self._post(self._refund(burn, chance.choice((0, 1, 7))))
            case 7 if self._holds:
                held = self._holds.pop(chance.randrange(len(self._holds)))
                body = str(uuid.uuid4())
                self._post(ReleaseHold(held.wallet_id, body, body, held.document_id, "app"))
            case _:
                self._spend(wallet_id)

    def _spend(self, wallet_id: int) -> None:
        body = str(uuid.uuid4())
        points = self._chance.randint(1, 60)
        time = self._tills.business_time
        held = self._post(
            HoldPoints(wallet_id, body, body, points, "coffee", DAY, "app", time), self._holds
        )
        if held is not None and self._chance.random() < 0.8:
            self._holds.remove(held)
            again = str(uuid.uuid4())
            capture = CapturePoints(wallet_id, again, again, held.document_id, 0, "app")
            self._post(capture, self._burns)

    def _refund(self, burn: Document, points: int) -> RefundPoints:
        body = str(uuid.uuid4())
        time = self._tills.business_time
        return RefundPoints(
            burn.wallet_id, body, body, burn.document_id, points, "out of stock", "app", time
        )

    def close(self, day: date) -> None:
        cutoff = night.cutoff_of(day)
        for shard in range(SHARDS):
            wallets = [wallet_id for wallet_id in (*WALLETS, DEBTOR) if wallet_id % SHARDS == shard]
            self._tills.send(
                *(night.activation(wallet_id, cutoff) for wallet_id in wallets),
                *(night.expiry(wallet_id, cutoff) for wallet_id in wallets),
            )

    def owe(self, day: date, minor: int) -> None:
        """A sale whose points are spent comes back, under a policy by which the wallet owes them.
        What it owes is repaid when other points become available.
        """
        self._tills.business_time = noon(day)
        sold = self._tills.do(self._tills.sale(DEBTOR, bread(minor)))
        self.close(day + LIFE.pending_days * timedelta(days=1))
        self._tills.business_time = noon(day + timedelta(days=3))
        self._tills.do(self._tills.adjustment(DEBTOR, -50))
        self._tills.do(self._tills.take_back(DEBTOR, Origin(sale_id=sold.document_id)))

    def _post(self, command: Command, kept: list[Document] | None = None) -> Document | None:
        """Refusals are remembered by the ledger, and by nobody else."""
        (answer,) = self._tills.send(command)
        if not isinstance(answer, Document):
            return None
        if kept is not None:
            kept.append(answer)
        return answer


def live_a_year(url: str, seed: int) -> None:
    database = engine(url)
    tills = Tills(database)
    for first, clawback in (
        (FIRST_DAY, Clawback.WITHIN_BALANCE),
        (date(2023, 9, 1), Clawback.ALLOW_NEGATIVE),
    ):
        drafted = policy(noon(first) - DAY, clawback)
        tills.publish(msgspec.structs.replace(drafted, life=LIFE))
    year = Year(tills, seed)
    year.live()
    # The second sale repays what the first left to be owed.
    year.owe(LAST_DAY + timedelta(days=1), 6_000)
    year.owe(LAST_DAY + timedelta(days=8), 20_000)
    tills.close()
    database.dispose()
