"""Pools of uploaded codes: all that is good is loaded, nothing twice, and each is given once."""

import asyncio
import uuid
from pathlib import Path

import grpc
import pytest
from loyalty.rewards.v1 import catalogue_pb2, vouchers_pb2

from services.cli import code_upload
from services.cli.code_upload import Report
from services.plumbing.database import engine, transaction
from services.plumbing.grpc_client import channel
from services.rewards.storage import pools
from tests.service.refusals import refused
from tests.service.rewards_calls import Rewards, new_id
from tests.service.servers import PATIENCE_SECONDS

CINEMA = "codePools/cinema"


async def test_good_lines_are_loaded_and_the_others_told_by_number(rewards: Rewards) -> None:
    answer = await rewards.upload(
        *("AAAA-1", "bbbb-2", "aaaa1", "", "x", "CCCC 3", "CCCC-3", "ünder"), first_line=101
    )
    assert answer == vouchers_pb2.UploadCodesResponse(
        loaded=3, duplicates=1, bad=4, duplicate_lines=[103], bad_lines=[104, 105, 106, 108]
    )
    assert await rewards.codes_left() == (3, 3)


async def test_codes_of_any_pool_are_loaded_once(rewards: Rewards) -> None:
    await rewards.upload("AAAA", "BBBB")
    again = await rewards.upload("CCCC", "AAAA")
    assert (again.loaded, list(again.duplicate_lines)) == (1, [2])
    other = await rewards.upload("bb-bb", "DDDD", pool="codePools/theatre")
    assert (other.loaded, list(other.duplicate_lines)) == (1, [1])
    assert await rewards.codes_left() == (3, 3)
    assert await rewards.codes_left("codePools/theatre") == (1, 1)


async def test_code_that_we_made_is_not_loaded_again(rewards: Rewards) -> None:
    await rewards.offer()
    (voucher,) = await rewards.issued()
    answer = await rewards.upload(voucher.code.lower())
    assert (answer.loaded, answer.duplicates) == (0, 1)


async def test_chunk_that_is_sent_again_gets_its_first_answer(rewards: Rewards) -> None:
    upload_id = new_id()
    answers = await asyncio.gather(
        *(rewards.upload("AAAA", "x", "AAAA", upload_id=upload_id) for _ in range(6))
    )
    assert all(answer == answers[0] for answer in answers)
    assert (answers[0].loaded, answers[0].duplicates, answers[0].bad) == (1, 1, 1)
    refusal = await refused(rewards.upload("AAAA", "BBBB", upload_id=upload_id))
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "REQUEST_ID_REUSED",
    )
    following = await rewards.upload("BBBB", upload_id=upload_id, first_line=4)
    assert following.loaded == 1
    assert await rewards.codes_left() == (2, 2)


async def test_uploads_of_the_same_codes_at_once_load_each_once(rewards: Rewards) -> None:
    codes = [f"CODE{number:04d}" for number in range(500)]
    answers = await asyncio.gather(
        rewards.upload(*codes), rewards.upload(*reversed(codes)), rewards.upload(*codes)
    )
    assert sum(answer.loaded for answer in answers) == 500
    assert sum(answer.duplicates for answer in answers) == 1000
    assert await rewards.codes_left() == (500, 500)


async def test_ten_thousand_codes_fit_into_one_call(rewards: Rewards) -> None:
    codes = [f"PARTNER-{number:08d}" for number in range(10_000)]
    assert (await rewards.upload(*codes)).loaded == 10_000
    refusal = await refused(rewards.upload(*codes, "ONE-MORE"))
    assert (refusal.reason, refusal.fields) == ("INVALID_REQUEST", ("codes",))
    assert await rewards.codes_left() == (10_000, 10_000)


async def test_unknown_pool_is_not_found(rewards: Rewards) -> None:
    assert (await refused(rewards.codes_left())).reason == "CODE_POOL_NOT_FOUND"


async def test_member_gets_the_code_as_it_was_uploaded(rewards: Rewards) -> None:
    await rewards.upload("Cinema.42-b")
    await rewards.offer(voucher=catalogue_pb2.VoucherDefinition(pool=CINEMA))
    (voucher,) = await rewards.issued()
    assert voucher.code == "Cinema.42-b"
    assert await rewards.codes_left() == (1, 0)
    used = await rewards.use(voucher, code="CINEMA.42B")
    assert used.voucher.state == vouchers_pb2.Voucher.STATE_REDEEMED


async def test_codes_are_given_in_the_order_they_came_as_far_as_there_are(
    rewards: Rewards,
) -> None:
    await rewards.upload("BBBB")
    await rewards.upload("AAAA")
    takers = [uuid.uuid4() for _ in range(3)]
    with rewards.connection() as connection:
        served = pools.take_codes(connection, [(taker, "cinema") for taker in takers])
        assert served == set(takers[:2])
        assert pools.codes_of(connection, takers) == {takers[0]: "BBBB", takers[1]: "AAAA"}


async def test_code_that_is_given_back_can_be_given_again(rewards: Rewards) -> None:
    await rewards.upload("AAAA")
    first, second = uuid.uuid4(), uuid.uuid4()
    with rewards.connection() as connection:
        assert pools.take_codes(connection, [(first, "cinema")]) == {first}
        assert pools.take_codes(connection, [(second, "cinema")]) == set()
        pools.return_codes(connection, [first])
        assert pools.take_codes(connection, [(second, "cinema")]) == {second}


async def test_two_servers_never_give_the_same_code(rewards: Rewards) -> None:
    await rewards.upload(*(f"CODE{number:04d}" for number in range(100)))
    takers = [[uuid.uuid4() for _ in range(40)] for _ in range(4)]
    source = engine(rewards.database_url, pool_size=4)

    def take(some: list[uuid.UUID]) -> set[uuid.UUID]:
        served: set[uuid.UUID] = set()
        for start in range(0, len(some), 5):
            with transaction(source) as connection:
                wanted = [(taker, "cinema") for taker in some[start : start + 5]]
                served |= pools.take_codes(connection, wanted)
        return served

    answers = await asyncio.gather(*(asyncio.to_thread(take, some) for some in takers))
    source.dispose()
    assert sum(map(len, answers)) == 100
    assert await rewards.codes_left() == (100, 0)


async def test_file_is_uploaded_in_chunks_and_goes_on_where_it_was_interrupted(
    rewards: Rewards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_upload, "CHUNK_LINES", 4)
    file = tmp_path / "codes.txt"
    file.write_bytes(b"AAAA\nBBBB\r\n\xff\xfe\nCCCC\nAAAA\n" + b"x" * 300 + b"\nDDDD\nEEEE\nFFFF")
    token = rewards.tokens.mint("vouchers.write")
    with channel(rewards.address, seconds_max=PATIENCE_SECONDS) as opened:
        first = await asyncio.to_thread(code_upload.upload, opened, token, "cinema", file)
        again = await asyncio.to_thread(code_upload.upload, opened, token, "cinema", file)
    assert first == Report(6, 1, 2, [5], [3, 6])
    assert again == first
    assert await rewards.codes_left() == (6, 6)
