"""The audit names whatever is changed behind the back of shared holds and of merges."""

import asyncio
import uuid
from collections.abc import Iterator

import pytest

from services.ledger.domain.shared_holds import MoveKind
from services.ledger.storage import merges
from services.ledger.storage.merges import Merge
from services.plumbing.database import engine, transaction
from tests.service.databases import Databases
from tests.service.ledger_history import Audit, audit_after
from tests.service.ledger_sharing_steps import Steps, a_uuid, asking, moving, stepping
from tests.service.ledger_shop import earn_policy, publish

SHARED = "shared_holds_agree"
MERGES = "merges_end"
LOTS = "lots_add_up"
ONE, TWO, THREE = (str(uuid.UUID(int=number)) for number in (1, 2, 3))
# Of wallets 1 and 2: documents of each shard are numbered from 1.
OPEN, BURNED, RELEASED = "open", "burned", "released"


async def make_shared_holds(steps: Steps) -> None:
    """Wallets 1 and 2 gave ten points each to a hold that is open, to one that was burned of which
    five came back, and to one that was released.
    """
    family = await steps.family(30, 50)
    holds = {}
    for name in (BURNED, RELEASED, OPEN):
        asked = asking(family.members[0], 40, a_uuid())
        holds[name] = (await steps.sharing.hold(asked)).hold.shared_hold_id
        if name == BURNED:
            for kind, points in ((MoveKind.CAPTURE, 35), (MoveKind.REFUND, 35)):
                await steps.sharing.move(moving(kind, holds[name], points, a_uuid()))
        if name == RELEASED:
            await steps.sharing.move(moving(MoveKind.RELEASE, holds[name], 0, a_uuid()))


@pytest.fixture(scope="module")
def books(databases: Databases) -> Iterator[str]:
    url = databases.create("ledger")
    publish(url, earn_policy())

    async def make() -> None:
        async with stepping(url) as steps:
            await make_shared_holds(steps)

    asyncio.run(make())
    source = engine(url, pool_size=1)
    with transaction(source) as connection:
        now = connection.exec_driver_sql("SELECT now()").scalar_one()
        merges.add(connection, Merge(a_uuid(), ONE, TWO), now)
        merges.add(connection, Merge(a_uuid(), TWO, THREE), now)
    source.dispose()
    yield url
    databases.drop(url)


@pytest.fixture
def audit(books: str) -> Iterator[Audit]:
    source = engine(books, pool_size=1)
    yield lambda statements: audit_after(source, statements)
    source.dispose()


def test_books_of_shared_holds_are_right(audit: Audit) -> None:
    assert audit("SELECT 1") == {}


def said(found: list[str]) -> list[str]:
    """What is said of each hold, without its name."""
    return sorted(problem.split(": ", 1)[1] for problem in found)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            "shared_holds SET points = 41 WHERE state = 3",
            ["it holds 41 points, its parts 40"],
        ),
        (
            "shared_holds SET captured = 34 WHERE state = 6",
            ["it burned 34 points, its parts 35"],
        ),
        (
            (
                "shared_hold_parts SET hold_id = 0 WHERE ordinal = 1 AND captured = 0"
                " AND shared_hold_id IN (SELECT shared_hold_id FROM shared_holds WHERE state = 3)"
            ),
            ["a part was never held", "it is no part of it"],
        ),
        (
            (
                "shared_hold_parts SET hold_id = 99 WHERE ordinal = 1"
                " AND shared_hold_id IN (SELECT shared_hold_id FROM shared_holds WHERE state = 3)"
            ),
            ["it is no part of it", "its wallet does not hold it"],
        ),
        (
            "shared_hold_parts SET refunded = refunded - 1 WHERE refunded = 5",
            ["4 points came back, in its wallet 5"],
        ),
        (
            "shared_hold_parts SET captured = 4, refunded = 4 WHERE refunded = 5",
            [
                "it burned 35 points, its parts 34",
                (
                    "it burned 4 points as {burn}, its wallet 5 as {burn}; 4 points came back,"
                    " in its wallet 5"
                ),
            ],
        ),
        (
            "shared_holds SET state = 8 WHERE state = 3",
            ["the shared hold is in state 8, its wallet's in 1"] * 2,
        ),
        (
            "shared_holds SET state = 3 WHERE state = 8",
            ["the shared hold is in state 3, its wallet's in 3"] * 2,
        ),
        (
            "shared_holds SET state = 11 WHERE state = 3",
            ["the shared hold is in state 11, its wallet's in 1"] * 2,
        ),
    ],
)
def test_shared_hold_that_says_something_else_is_named(
    audit: Audit, books: str, change: str, found: list[str]
) -> None:
    source = engine(books, pool_size=1)
    with transaction(source) as connection:
        burn = connection.exec_driver_sql(
            "SELECT burn_id FROM shared_hold_parts WHERE refunded = 5"
        ).scalar_one()
    source.dispose()
    problems = audit(f"UPDATE {change}")
    assert set(problems) == {SHARED}
    assert said(problems[SHARED]) == sorted(each.format(burn=burn) for each in found)


def test_part_that_its_wallet_holds_otherwise_is_named(audit: Audit) -> None:
    problems = audit("UPDATE ledger_00.holds SET shared_hold_id = NULL WHERE state = 1")
    assert said(problems[SHARED]) == ["its wallet does not hold it"]
    problems = audit("UPDATE ledger_00.holds SET points = points + 1 WHERE state = 1")
    assert said(problems[SHARED])[0].startswith("it is to hold ")
    problems = audit(
        "DELETE FROM shared_hold_parts p USING shared_holds h"
        " WHERE p.shared_hold_id = h.shared_hold_id AND h.state = 3;"
        " DELETE FROM shared_holds WHERE state = 3"
    )
    assert said(problems[SHARED]) == ["there is no shared hold"] * 2


def test_merges_that_go_round_in_a_circle_are_named(audit: Audit) -> None:
    found = audit(
        "INSERT INTO merged_members (merge_id, source_id, target_id, merge_time)"
        f" VALUES (gen_random_uuid(), '{THREE}', '{ONE}', now())"
    )
    assert found == {
        MERGES: [
            f"members/{member}: it was merged into itself, by others"
            for member in (ONE, TWO, THREE)
        ]
    }
