"""A small ledger with something of everything in it, made as tills make it: through `post`."""

import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from sqlalchemy import Engine

from services.cli.audit import ANNOUNCEMENTS
from services.ledger import events
from services.ledger.domain.audit import CheckResult, combined
from services.ledger.domain.basket import Line, Sale, lines_json
from services.ledger.domain.circumstances import Limits
from services.ledger.domain.documents import (
    AdjustPoints,
    CapturePoints,
    CardState,
    Command,
    Document,
    HoldPoints,
    Origin,
    RecordReturn,
    RecordSale,
    RefundPoints,
    ReleaseHold,
    ReturnedLine,
)
from services.ledger.domain.point_life import NO_LIMITS, PointLife
from services.ledger.domain.policy import (
    Clawback,
    LineCondition,
    PointKind,
    Policy,
    Rule,
    Settings,
)
from services.ledger.usecases.audit import prove_directory, prove_shard
from services.ledger.usecases.policies import Policies
from services.ledger.usecases.post import Answer
from services.ledger.usecases.shard import open_shard
from services.plumbing.database import engine
from tests.service.ledger_posting import answers

# What is off, by the check that found it; and an audit of a ledger after statements that change it.
Problems = dict[str, list[str]]
Audit = Callable[[str], Problems]

SHARDS = 2
DAY = 86_400 * 1_000_000
HOUR = DAY // 24
NOON = int(datetime(2024, 3, 1, 12, tzinfo=UTC).timestamp()) * 1_000_000
POST_TIME = int(datetime(2024, 6, 1, tzinfo=UTC).timestamp()) * 1_000_000
BOTH = (PointKind.REDEEMABLE, PointKind.QUALIFYING)


def policy(effective_time: int, clawback: Clawback, life: PointLife = NO_LIMITS) -> Policy:
    """A point of both kinds for a dollar, and another redeemable one for a dollar of produce."""
    base = Rule("base", "1 point per dollar", BOTH, points=1, per_minor=100)
    produce = Rule(
        "produce",
        "1 extra point per dollar of produce",
        (PointKind.REDEEMABLE,),
        points=1,
        per_minor=100,
        lines=LineCondition(categories=(("PRODUCE",),)),
    )
    settings = Settings(clawback=clawback)
    return Policy(0, effective_time, "USD", (base, produce), settings=settings, life=life)


class Tills:
    """Sends commands to the shards of a ledger; business time goes on by an hour with each."""

    def __init__(self, database: Engine) -> None:
        self._database = database
        limits = Limits(past=10_000 * DAY, future=DAY)
        self._shards = [
            open_shard(
                database.url,
                number,
                limits=limits,
                announce=events.entries_posted,
                clock=lambda: POST_TIME,
            )
            for number in range(SHARDS)
        ]
        self.business_time = NOON

    def close(self) -> None:
        for shard in self._shards:
            shard.close()

    def publish(self, draft: Policy) -> None:
        Policies(self._database, events.policy_published).publish(
            draft,
            request_id=str(uuid.uuid4()),
            body_hash=str(uuid.uuid4()),
            publisher="marketing",
            now=POST_TIME,
        )

    def send(self, *commands: Command) -> list[Answer]:
        """Post commands of wallets of one shard as one batch."""
        (shard,) = {command.wallet_id % SHARDS for command in commands}
        return answers(self._shards[shard], commands)

    def do(self, command: Command) -> Document:
        """Post a command that is not refused."""
        (answer,) = self.send(command)
        assert isinstance(answer, Document)
        return answer

    def sale(
        self,
        wallet_id: int,
        *lines: Line,
        receipt: str = "",
        card_state: CardState = CardState.ACTIVE,
    ) -> RecordSale:
        self.business_time += DAY // 24
        request_id = str(uuid.uuid4())
        sale = Sale(
            "7", "2", receipt or request_id[:8], self.business_time, "USD", lines_json(lines)
        )
        body = str(uuid.uuid4())
        return RecordSale(wallet_id, request_id, body, sale, card_state, unknown_card=wallet_id > 4)

    def take_back(
        self,
        wallet_id: int,
        origin: Origin,
        lines: Sequence[ReturnedLine] = (),
        *,
        void: bool = False,
    ) -> RecordReturn:
        self.business_time += DAY // 24
        request_id, body = str(uuid.uuid4()), str(uuid.uuid4())
        return RecordReturn(
            wallet_id,
            request_id,
            body,
            origin,
            "7",
            "2",
            f"R{request_id[:8]}",
            self.business_time,
            tuple(lines),
            void,
        )

    def adjustment(
        self, wallet_id: int, points: int, kind: PointKind = PointKind.REDEEMABLE
    ) -> AdjustPoints:
        return AdjustPoints(
            wallet_id,
            str(uuid.uuid4()),
            str(uuid.uuid4()),
            kind,
            points,
            'a "late" delivery; sorry\n\\o/',
            "care/ada",
            self.business_time,
        )


def ids() -> tuple[str, str]:
    return str(uuid.uuid4()), str(uuid.uuid4())


class Spender(Tills):
    """Of wallets in shard 0, where documents are numbered as they come."""

    def hold(self, wallet_id: int, points: int) -> Document:
        time = self.business_time
        return self.do(HoldPoints(wallet_id, *ids(), points, "a coffee", HOUR, "app", time))

    def capture(self, held: Document, points: int) -> Document:
        return self.do(CapturePoints(held.wallet_id, *ids(), held.document_id, points, "app"))

    def release(self, held: Document) -> Document:
        return self.do(ReleaseHold(held.wallet_id, *ids(), held.document_id, "app"))

    def refund(self, burned: Document, points: int) -> Document:
        wallet_id, time = burned.wallet_id, self.business_time
        return self.do(
            RefundPoints(wallet_id, *ids(), burned.document_id, points, "none left", "app", time)
        )


def bread(minor: int) -> Line:
    return Line("bread", 1_000, minor, "Bread", ("BAKERY", "LOAVES"))


def apples(minor: int, kilograms: int = 1) -> Line:
    return Line("apples", kilograms * 1_000, minor, "Apples", ("PRODUCE", "FRUIT"))


def make_history(url: str) -> None:
    """Sales, returns, voids, adjustments, debts, refusals and requests sent again.

    Wallets 1, 3 and 5 lie in shard 1, wallets 2 and 4 in shard 0.
    """
    database = engine(url)
    tills = Tills(database)
    tills.publish(policy(NOON - DAY, Clawback.WITHIN_BALANCE))
    tills.publish(policy(NOON + 30 * DAY, Clawback.ALLOW_NEGATIVE))
    _plain(tills)
    _returned(tills)
    _refused(tills)
    _forgiven(tills)
    tills.business_time = NOON + 40 * DAY
    _in_debt(tills)
    tills.close()
    database.dispose()


def problems_of(checks: Iterable[CheckResult]) -> Problems:
    return {check.name: list(check.problems) for check in checks if check.problem_count}


def audit_after(database: Engine, statements: str) -> Problems:
    """What an audit finds after statements that change a ledger behind its back; the ledger is as
    before afterwards.
    """
    with database.connect() as connection:
        connection.exec_driver_sql(statements)
        results = prove_directory(connection, ANNOUNCEMENTS)
        for shard in range(SHARDS):
            results += prove_shard(connection, shard, SHARDS, ANNOUNCEMENTS)
        connection.rollback()
    return problems_of(combined(results))


def _plain(tills: Tills) -> None:
    """Wallet 1: sales alone, one of them sent twice, and two with the same receipt."""
    first = tills.sale(1, bread(250), apples(420))
    tills.send(first, tills.sale(3, bread(60)), tills.sale(5, bread(1_999)))
    tills.send(first, tills.sale(1, apples(1_000), receipt="A1"))
    tills.send(tills.sale(1, bread(50), receipt="A1"))


def _returned(tills: Tills) -> None:
    """Wallet 2: a sale that comes back bit by bit, one that is voided, points given by hand."""
    sold = tills.do(tills.sale(2, bread(333), apples(999, kilograms=3), bread(101)))
    origin = Origin(sale_id=sold.document_id)
    tills.do(tills.take_back(2, origin, [ReturnedLine(2, 1_000)]))
    tills.do(tills.take_back(2, origin, [ReturnedLine(2, 1_000), ReturnedLine(1)]))
    tills.do(tills.take_back(2, origin))
    voided = tills.do(tills.sale(2, apples(777)))
    tills.do(tills.take_back(2, Origin(sale_id=voided.document_id), void=True))
    tills.send(tills.adjustment(2, 40), tills.adjustment(2, -15), tills.adjustment(4, 25))
    tills.do(tills.adjustment(4, 12, PointKind.QUALIFYING))
    tills.do(tills.adjustment(4, -5, PointKind.QUALIFYING))


def _refused(tills: Tills) -> None:
    """Wallet 3: refusals among what is posted, remembered and asked again."""
    blocked = tills.sale(3, bread(500), card_state=CardState.BLOCKED)
    unknown = tills.take_back(3, Origin(sale_id=987_654))
    tills.send(blocked, tills.sale(3, bread(1_500)), unknown, tills.adjustment(3, -10_000))
    tills.send(blocked)
    tills.send(unknown)


def _forgiven(tills: Tills) -> None:
    """Wallet 4: points of a sale are spent when it comes back, and what is missing is forgiven."""
    sold = tills.do(tills.sale(4, apples(5_000)))
    tills.do(tills.adjustment(4, -110))
    tills.do(tills.take_back(4, Origin(sale_id=sold.document_id)))


def _in_debt(tills: Tills) -> None:
    """Wallet 5: the same under a policy that lets the wallet owe, twice; the next sale repays."""
    sold = tills.do(tills.sale(5, apples(3_000)))
    tills.do(tills.adjustment(5, -70))
    tills.do(tills.take_back(5, Origin(sale_id=sold.document_id)))
    tills.do(tills.sale(5, bread(2_000)))
    again = tills.do(tills.sale(1, bread(9_000)))
    tills.do(tills.adjustment(1, -100))
    tills.do(tills.take_back(1, Origin(sale_id=again.document_id)))
