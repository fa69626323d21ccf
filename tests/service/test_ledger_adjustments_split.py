"""What one person gives the same member alone counts together: no limit is passed by splitting."""

import asyncio
import json
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from services.ledger.domain.documents import AdjustPoints
from services.ledger.domain.policy import PointKind
from services.ledger.usecases.proposals import Proposals
from services.plumbing.database import engine, transaction
from tests.service.adjusting_office import EARNED, Office
from tests.service.conftest import Serve
from tests.service.databases import Databases
from tests.service.ledger_history import DAY, NOON
from tests.service.ledger_shop import Shop, common_database, new_id
from tests.service.refusals import refused
from tests.service.tokens import Tokens

LIMITS = json.dumps({"*": 50, "supervisor": 500})


@pytest.fixture
def url(databases: Databases) -> str:
    return common_database(databases)


@pytest.fixture
async def office(url: str, serve: Serve, tokens: Tokens) -> Office:
    running = await serve("ledger", url, adjustment_limits=LIMITS)
    return Office(Shop(running, tokens, url), tokens, running.channel)


@pytest.fixture
def database(url: str) -> Iterator[Engine]:
    opened = engine(url, pool_size=2)
    yield opened
    opened.dispose()


async def test_what_goes_beyond_the_limit_together_is_proposed(office: Office) -> None:
    wallet = await office.wallet()
    assert not (await office.adjust(wallet, 30)).proposal
    assert not (await office.adjust(wallet, 20)).proposal
    assert (await office.adjust(wallet, 1)).proposal
    assert await office.available(wallet) == EARNED + 50
    # Their role allows more, or they give to another, or another gives.
    assert not (await office.adjust(wallet, 450, role="supervisor")).proposal
    assert (await office.adjust(wallet, 1, role="supervisor")).proposal
    assert not (await office.adjust(await office.wallet(), 50)).proposal
    assert not (await office.adjust(wallet, 50, "cy")).proposal
    assert await office.available(wallet) == EARNED + 550


async def test_what_was_given_can_be_taken_and_given_again(office: Office) -> None:
    wallet = await office.wallet()
    for points in (50, -50, 50, -50, -10):
        assert not (await office.adjust(wallet, points)).proposal
    assert (await office.adjust(wallet, 61)).proposal
    assert await office.available(wallet) == 0


async def test_of_several_at_once_those_beyond_the_limit_are_proposed(office: Office) -> None:
    wallet = await office.wallet()
    answers = await asyncio.gather(*(office.adjust(wallet, 20) for _ in range(8)))
    assert sum(not answer.proposal for answer in answers) == 2
    assert await office.available(wallet) == EARNED + 40


async def test_a_request_sent_again_counts_once_and_one_that_was_refused_not_at_all(
    office: Office,
) -> None:
    wallet, asking = await office.wallet(), new_id()
    given = await office.adjust(wallet, 30, request_id=asking)
    for _ in range(3):
        assert await office.adjust(wallet, 30, request_id=asking) == given
    reused = await refused(office.adjust(wallet, 31, request_id=asking))
    assert reused.reason == "REQUEST_ID_REUSED"
    assert (await refused(office.adjust(wallet, -45))).reason == "INSUFFICIENT_POINTS"
    assert (await office.adjust(wallet, 21)).proposal
    assert not (await office.adjust(wallet, 20)).proposal
    assert await office.available(wallet) == EARNED + 50


async def test_what_was_approved_does_not_count(office: Office) -> None:
    wallet = await office.wallet()
    await office.approve((await office.adjust(wallet, 600)).proposal)
    assert not (await office.adjust(wallet, 50)).proposal


def gift(wallet_id: int, points: int, kind: PointKind = PointKind.REDEEMABLE) -> AdjustPoints:
    request_id, body = new_id(), new_id()
    return AdjustPoints(wallet_id, request_id, body, kind, points, "goodwill", "dee", NOON)


def test_after_its_time_nothing_counts_or_is_kept(database: Engine) -> None:
    now = [NOON]
    proposals = Proposals(database, lambda: now[0], window=DAY)

    def alone(asked: AdjustPoints) -> bool:
        return proposals.propose(asked, allowed=50, business_time=None) is None

    wallet = 900_000_002
    first = gift(wallet, 40)
    assert alone(first)
    now[0] += DAY - 1
    assert not alone(gift(wallet, 11))
    assert alone(gift(wallet, 50, PointKind.QUALIFYING))
    now[0] += 1
    assert alone(gift(wallet, 11))
    # The first was never posted: it is asked for anew.
    assert alone(first) is False
    with transaction(database) as connection:
        kept = connection.exec_driver_sql(
            "SELECT points FROM adjustments_alone WHERE wallet_id = %s ORDER BY points", (wallet,)
        )
        assert [row[0] for row in kept] == [11, 50]


def test_the_wallets_of_a_member_count_together(database: Engine) -> None:
    """Their own, and that of a member who was merged into them."""
    proposals = Proposals(database, lambda: NOON)
    source, target = new_id(), new_id()
    wallets = (900_000_004, 900_000_005)
    with transaction(database) as connection:
        for wallet, member in zip(wallets, (source, target), strict=True):
            connection.exec_driver_sql(
                "INSERT INTO wallet_owners (wallet_id, member_id) VALUES (%s, %s)",
                (wallet, member),
            )
        connection.exec_driver_sql(
            "INSERT INTO merged_members (merge_id, source_id, target_id, merge_time)"
            " VALUES (%s, %s, %s, now())",
            (new_id(), source, target),
        )
    assert proposals.propose(gift(wallets[0], 30), allowed=50, business_time=None) is None
    assert proposals.propose(gift(wallets[1], 21), allowed=50, business_time=None) is not None
    assert proposals.propose(gift(wallets[1], 20), allowed=50, business_time=None) is None
