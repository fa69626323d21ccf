"""Whatever tills and care agents send, the ledger answers and holds what a plain model says."""

import itertools
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine

from services.cli.audit import run_audit
from services.ledger import events
from services.ledger.domain.audit import TRANSFERS_ARRIVE
from services.ledger.domain.circumstances import Limits
from services.ledger.domain.documents import Document
from services.ledger.domain.lots import SentPart
from services.ledger.domain.transferring import sent_parts
from services.ledger.usecases.shard import Shard, open_shard
from services.plumbing.database import engine, transaction
from tests.service.databases import Databases
from tests.service.ledger_model import Model
from tests.service.ledger_model_commands import command_of, reply_of
from tests.service.ledger_model_policy import publish_two_versions
from tests.service.ledger_model_requests import (
    DAY,
    NOW,
    AdjustAsked,
    AnythingAsked,
    CaptureAsked,
    HoldAsked,
    Item,
    ReceiveAsked,
    RefundAsked,
    ReleaseAsked,
    ReturnAsked,
    SaleAsked,
    SendAsked,
)
from tests.service.ledger_posting import answers
from tests.unit.ledger_chance import CHANCES

SHARDS, WALLETS, BATCH_MAX = 2, 4, 8
HOUR = 3_600_000_000
# What was sent, as the ledger said it.
Parts = tuple[SentPart, ...]
_wallets = itertools.count(1)
# Microseconds: no two business times are the same, so neither are two lots' ages.
_times = itertools.count(1)


def a_uuid() -> str:
    return str(uuid.uuid4())


class Ledger(RuleBasedStateMachine):
    """Two servers on one database, and the model beside them."""

    database: ClassVar[Engine]

    def __init__(self) -> None:
        super().__init__()
        limits = Limits(past=400 * DAY, future=0)
        self._servers: list[list[Shard]] = [
            [
                open_shard(
                    self.database.url,
                    number,
                    limits=limits,
                    announce=events.entries_posted,
                    clock=lambda: NOW,
                )
                for number in range(SHARDS)
            ]
            for _ in range(2)
        ]
        self._chance = Random(0)  # noqa: S311 — nothing secret is chosen
        self._wallets = [next(_wallets) for _ in range(WALLETS)]
        self._sent: list[AnythingAsked] = []
        # Which document each request became, and what was sent by those that sent.
        self._documents: dict[str, int] = {}
        self._parts: dict[str, Parts] = {}
        # From which wallet, and which of its documents that was.
        self._sent_at: dict[str, tuple[int, int]] = {}
        self._model = Model(self._documents)

    def teardown(self) -> None:
        for shard in itertools.chain(*self._servers):
            shard.close()

    @initialize(chance=CHANCES)
    def begin(self, chance: Random) -> None:
        """Chosen once: seeds drawn at every step would mostly be the same small ones."""
        self._chance = chance

    @rule()
    def sell(self) -> None:
        self._send([self._a_sale(self._wallets)])

    @rule()
    def give_back(self) -> None:
        self._send([self._a_return(self._wallets)])

    @rule()
    def adjust(self) -> None:
        self._send([self._an_adjustment(self._wallets)])

    @rule()
    def hold(self) -> None:
        self._send([self._a_hold(self._wallets)])

    @rule()
    def spend(self) -> None:
        self._send([self._a_spending(self._wallets)])

    @rule()
    def transfer(self) -> None:
        """Points leave a wallet, and sooner or later come to another, of any shard."""
        self._send([self._a_sending(self._wallets)])
        if self._chance.random() < 0.7:
            self._send([self._a_receiving(self._wallets)])

    @rule()
    def send_again(self) -> None:
        """Any earlier request, whatever became of it: as it was, or its id with another body."""
        self._send([self._again(self._wallets)])

    @rule()
    def send_many(self) -> None:
        """A batch in which requests meet sales, returns and repetitions of the same wallets."""
        shard = self._chance.randrange(SHARDS)
        wallets = [each for each in self._wallets if each % SHARDS == shard]
        makers: tuple[Callable[[Sequence[int]], AnythingAsked], ...] = (
            self._a_sale,
            self._a_return,
            self._a_return,
            self._an_adjustment,
            self._a_hold,
            *[self._a_spending] * 3,
            self._a_sending,
            self._a_receiving,
            self._again,
        )
        batch: list[AnythingAsked] = []
        for _ in range(self._chance.randint(2, BATCH_MAX)):
            batch.append(self._chance.choice(makers)(wallets))
            self._sent.append(batch[-1])
        if self._chance.random() < 0.3:
            # Many at once about the same holds and burns.
            batch += [self._a_spending(wallets) for _ in range(4)]
        if self._chance.random() < 0.4:
            batch.append(under_the_id_of(self._chance.choice(batch), self._a_return(wallets)))
        self._send(batch)

    @invariant()
    def every_wallet_holds_what_the_model_says(self) -> None:
        for wallet_id in self._wallets:
            wallet = self._model.wallet(wallet_id)
            held = (
                wallet.available,
                wallet.qualifying,
                wallet.lifetime,
                wallet.owed,
                wallet.posted,
                wallet.held,
                wallet.active_day,
            )
            sums = (wallet.available + wallet.held, wallet.qualifying)
            if wallet.made:
                expected = (held, wallet.remaining, wallet.held, sums, wallet.posted)
                assert self._found(wallet_id) == expected

    @invariant()
    def what_wallets_got_is_what_accounts_gave(self) -> None:
        with transaction(self.database) as connection:
            for number in range(SHARDS):
                schema = f"ledger_{number:02d}"
                sums = [
                    connection.exec_driver_sql(
                        f"SELECT account, kind, sum(points) FROM {schema}.{table}"
                        " GROUP BY 1, 2 HAVING sum(points) <> 0 ORDER BY 1, 2"
                    ).fetchall()
                    for table in ("entries", "account_movements")
                ]
                assert sums[0] == sums[1]

    def _found(self, wallet_id: int) -> tuple[object, ...]:
        """A wallet's row, what its lots hold, the sums of its entries, and its documents."""
        schema = f"ledger_{wallet_id % SHARDS:02d}"
        with transaction(self.database) as connection:

            def one(statement: str) -> tuple[object, ...]:
                return tuple(
                    connection.exec_driver_sql(
                        f"{statement} WHERE wallet_id = {wallet_id}".format(schema=schema)
                    ).one()
                )

            held = one(
                "SELECT available, qualifying, lifetime, overdrawn, sequence, held,"
                " active_date - date 'epoch' FROM {schema}.wallets"
            )
            lots, set_aside = one(
                "SELECT coalesce(array_agg(remaining ORDER BY remaining)"
                " FILTER (WHERE remaining > 0), '{{}}'), coalesce(sum(held), 0)::bigint"
                " FROM {schema}.lots"
            )
            sums = one(
                "SELECT coalesce(sum(points) FILTER (WHERE kind = 1), 0)::bigint,"
                " coalesce(sum(points) FILTER (WHERE kind = 2), 0)::bigint FROM {schema}.entries"
            )
            [posted] = one("SELECT count(*) FILTER (WHERE refusal IS NULL) FROM {schema}.journal")
        return held, lots, set_aside, sums, posted

    def _send(self, batch: Sequence[AnythingAsked]) -> None:
        """Ask the ledger and the model the same, and compare every answer."""
        self._sent += [asked for asked in batch if asked not in self._sent]
        commands = [command_of(asked, self._documents) for asked in batch]
        shard = self._chance.choice(self._servers)[batch[0].wallet % SHARDS]
        answered = answers(shard, commands)
        for asked, answer in zip(batch, answered, strict=True):
            if isinstance(answer, Document):
                self._documents[asked.request_id] = answer.document_id
                # The journal keeps entries in their order, and no ordinal.
                ordinals = [entry.ordinal for entry in answer.entries]
                assert ordinals == list(range(1, len(ordinals) + 1))
                if isinstance(asked, SendAsked):
                    self._parts[asked.request_id] = sent_parts(answer)
                    self._sent_at[asked.request_id] = asked.wallet, answer.sequence
        assert [reply_of(answer) for answer in answered] == self._model.ask_all(batch)

    def _a_sale(self, wallets: Sequence[int]) -> SaleAsked:
        chance = self._chance
        items = tuple(
            Item(
                chance.randint(0, 700),
                chance.choice((0, 1000, 1000, 2500, 3000)),
                chance.random() < 0.4,
            )
            for _ in range(chance.randint(1, 3))
        )
        time = a_time(chance, chance.choice((1, 20, 60)))
        if chance.random() < 0.04:
            time = chance.choice((NOW + 1 + time % DAY, NOW - 401 * DAY))
        return SaleAsked(
            chance.choice(wallets),
            a_uuid(),
            a_uuid(),
            time,
            items,
            chance.choices(("USD", "EUR"), (30, 1))[0],
            chance.random() < 0.03,
        )

    def _a_return(self, wallets: Sequence[int]) -> ReturnAsked:
        """Mostly of a sale that was recorded; else of one that is just on its way, or of none."""
        chance = self._chance
        recorded = [
            sold.asked for wallet in wallets for sold in self._model.wallet(wallet).sales.values()
        ]
        sent = [
            asked
            for asked in self._sent[-BATCH_MAX:]
            if isinstance(asked, SaleAsked) and asked.wallet in wallets
        ]
        found = chance.choice((*[recorded] * 5, *[sent] * 3, []))
        sold = chance.choice(found) if found else None
        lines: tuple[tuple[int, int], ...] = ()
        void = chance.random() < 0.1
        if not void and chance.random() < 0.5:
            numbers = chance.choices(range(1, 5), (9, 6, 3, 1), k=chance.choice((1, 1, 2)))
            lines = tuple((n, chance.choice((0, 0, 500, 1000, 2000))) for n in numbers)
        return ReturnAsked(
            sold.wallet if sold else chance.choice(wallets),
            a_uuid(),
            a_uuid(),
            a_time(chance, 1 if chance.random() < 0.9 else 60),
            sold.request_id if sold else a_uuid(),
            lines,
            void,
        )

    def _an_adjustment(self, wallets: Sequence[int]) -> AdjustAsked:
        chance = self._chance
        wallet, kind = chance.choice(wallets), chance.choice((1, 1, 1, 2))
        available = self._model.wallet(wallet).available
        points = chance.choice((1, -1)) * chance.randint(1, 15)
        if available > 0 and chance.random() < 0.6:
            # All there is, so that what comes back next was spent.
            points = -available
        return AdjustAsked(wallet, a_uuid(), a_uuid(), a_time(chance, 60), kind, points)

    def _a_hold(self, wallets: Sequence[int]) -> HoldAsked:
        chance = self._chance
        wallet = chance.choice(wallets)
        available = self._model.wallet(wallet).available
        points = chance.randint(1, 20)
        if available > 0 and chance.random() < 0.5:
            points = available
        time = a_time(chance, 60) if chance.random() < 0.95 else NOW + DAY
        return HoldAsked(wallet, a_uuid(), a_uuid(), time, points, chance.random() < 0.15)

    def _a_spending(self, wallets: Sequence[int]) -> AnythingAsked:
        """About a hold or a burn that was answered, mostly one of the last; or about none."""
        chance = self._chance
        captured = chance.random() < 0.5
        found = [
            asked
            for asked in self._sent
            if isinstance(asked, CaptureAsked if captured else HoldAsked)
            and asked.wallet in wallets
            and asked.request_id in self._documents
        ]
        if not found:
            return self._a_hold(wallets)
        earlier = chance.choice(found[-1:] if chance.random() < 0.6 else found)
        named = earlier.request_id if chance.random() < 0.95 else a_uuid()
        identity = earlier.wallet, a_uuid(), a_uuid(), a_time(chance, 60)
        points = chance.choice((0, 1, 1, 2, chance.randint(1, 20)))
        if captured:
            return RefundAsked(*identity, named, points)
        if chance.random() < 0.3:
            return ReleaseAsked(*identity, named)
        return CaptureAsked(*identity, named, points)

    def _a_sending(self, wallets: Sequence[int]) -> SendAsked:
        held = self._a_hold(wallets)
        return SendAsked(held.wallet, held.request_id, held.body, held.time, held.points)

    def _a_receiving(self, wallets: Sequence[int]) -> AnythingAsked:
        """Of what was sent last and may not have arrived yet, by whichever wallet; or it comes back
        to where it was.
        """
        chance = self._chance
        if not self._parts:
            return self._a_sending(wallets)
        sent, parts = list(self._parts.items())[-1]
        wallet, time = chance.choice(wallets), a_time(chance, 60)
        sender, sequence = self._sent_at[sent]
        left_at = sequence if wallet == sender else None
        return ReceiveAsked(wallet, a_uuid(), a_uuid(), time, sent, parts, left_at)

    def _again(self, wallets: Sequence[int]) -> AnythingAsked:
        earlier = [asked for asked in self._sent if asked.wallet in wallets]
        if not earlier:
            return self._a_sale(wallets)
        if self._chance.random() < 0.7:
            return self._chance.choice(earlier)
        make = self._chance.choice(
            (self._a_sale, self._a_return, self._an_adjustment, self._a_hold, self._a_spending)
        )
        return under_the_id_of(self._chance.choice(earlier), make(wallets))


def under_the_id_of(earlier: AnythingAsked, other: AnythingAsked) -> AnythingAsked:
    """Another request that a caller sends, wrongly, under the id of an earlier one."""
    return replace(other, wallet=earlier.wallet, request_id=earlier.request_id)


def a_time(chance: Random, days_ago_max: int) -> int:
    """A time of its own, on some day up to so long ago: tills may be late."""
    return NOW - HOUR + next(_times) - chance.randrange(days_ago_max) * DAY


def test_the_ledger_answers_and_holds_what_the_model_says(databases: Databases) -> None:
    url = databases.create("ledger")
    opened = engine(url, pool_size=2 * SHARDS + 1)
    publish_two_versions(opened)

    class Here(Ledger):
        database = opened

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            # Every step is a transaction: to look for a shorter example would take too long.
            phases=(Phase.explicit, Phase.reuse, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )
    opened.dispose()
    off = {each.name: each.problems for each in run_audit(url).checks if each.problems}
    # The table of transfers is not the shards'; the points here are sent without it.
    off.pop(TRANSFERS_ARRIVE, None)
    assert off == {}
    databases.drop(url)
