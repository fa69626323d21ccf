"""Group commit: what queues during a commit goes into the next; bad commands fail alone."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest
from sqlalchemy.exc import DataError, InterfaceError, InternalError, OperationalError

from services.plumbing import settling
from services.plumbing.group_commit import GroupCommitter, Observe, QueueIsFull
from services.plumbing.settling import CommitUnknown, settle

DEADLINE_SECONDS = 10.0
POISON = "poison"


class DriverError(Exception):
    """What a driver raises: with the code that PostgreSQL gave, if it gave one."""

    def __init__(self, code: str | None) -> None:
        super().__init__(code)
        self.pgcode = code


class Database:
    """Commits words, in capitals; holds commits back, or refuses them, when told to."""

    def __init__(self) -> None:
        self.attempts: list[list[str]] = []
        self.committed: list[str] = []
        self.errors: list[Exception] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.entered = threading.Event()

    def commit(self, commands: Sequence[str]) -> list[str]:
        self.attempts.append(list(commands))
        self.entered.set()
        assert self.may_go_on.wait(DEADLINE_SECONDS)
        if self.errors:
            raise self.errors.pop(0)
        if any(POISON in command for command in commands):
            raise DataError("INSERT", {}, DriverError("22003"))
        self.committed += commands
        return [command.upper() for command in commands]


Commit = Callable[..., GroupCommitter[str, str]]


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
async def committer(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., GroupCommitter[str, str]]]:
    monkeypatch.setattr(settling, "RETRY_SECONDS", 0.005)
    made: list[GroupCommitter[str, str]] = []

    def make(
        *,
        batch_max: int = 100,
        queue_max: int = 100,
        give_up_seconds: float = DEADLINE_SECONDS,
        linger_seconds: float = 0.0,
        shared_by: int = 2,
        gathered: Callable[[], Awaitable[object]] | None = None,
        observe: Observe = lambda _size, _seconds: None,
    ) -> GroupCommitter[str, str]:
        async def commit(commands: Sequence[str]) -> Sequence[str | Exception]:
            return await asyncio.to_thread(
                settle, database.commit, commands, give_up_seconds=give_up_seconds
            )

        made.append(
            GroupCommitter(
                commit,
                batch_max=batch_max,
                queue_max=queue_max,
                linger_seconds=linger_seconds,
                shared_by=shared_by,
                gathered=gathered,
                observe=observe,
            )
        )
        return made[-1]

    yield make
    database.may_go_on.set()
    for each in made:
        await each.close()


async def settled(
    *futures: "asyncio.Future[Sequence[str | Exception]]",
) -> list[Sequence[str | Exception]]:
    async with asyncio.timeout(DEADLINE_SECONDS):
        return list(await asyncio.gather(*futures))


async def hold(
    database: Database, committer: GroupCommitter[str, str]
) -> "asyncio.Future[Sequence[str | Exception]]":
    """Let a first commit begin and stay under way until the database may go on."""
    database.may_go_on.clear()
    first = committer.submit(["first"])
    assert await asyncio.to_thread(database.entered.wait, DEADLINE_SECONDS)
    return first


async def test_one_command_is_committed_at_once(database: Database, committer: Commit) -> None:
    assert await settled(committer().submit(["a"])) == [["A"]]
    assert database.attempts == [["a"]]


async def test_what_queued_meanwhile_is_committed_together_in_order(
    database: Database, committer: Commit
) -> None:
    group = committer()
    first = await hold(database, group)
    waiting = [group.submit(["a"]), group.submit(["b", "c"]), group.submit(["d"])]
    assert group.depth == 4
    database.may_go_on.set()
    assert await settled(first, *waiting) == [["FIRST"], ["A"], ["B", "C"], ["D"]]
    assert database.attempts == [["first"], ["a", "b", "c", "d"]]
    assert group.depth == 0


async def test_what_waits_and_what_is_being_committed_is_under_way(
    database: Database, committer: Commit
) -> None:
    group = committer()
    assert group.under_way == 0
    first = await hold(database, group)
    waiting = group.submit(["a", "b"])
    assert (group.under_way, group.depth) == (3, 2)
    database.may_go_on.set()
    await settled(first, waiting)
    assert group.under_way == 0


async def test_a_batch_takes_whole_jobs_up_to_its_limit(
    database: Database, committer: Commit
) -> None:
    group = committer(batch_max=3)
    first = await hold(database, group)
    waiting = [group.submit(job) for job in (["a", "b"], ["c", "d"], ["e"], list("vwxyz"), ["f"])]
    database.may_go_on.set()
    await settled(first, *waiting)
    assert database.attempts[1:] == [["a", "b"], ["c", "d", "e"], list("vwxyz"), ["f"]]


async def test_a_full_queue_refuses_and_takes_more_once_it_is_drained(
    database: Database, committer: Commit
) -> None:
    group = committer(queue_max=3)
    first = await hold(database, group)
    waiting = group.submit(["a", "b"])
    with pytest.raises(QueueIsFull):
        group.submit(["c", "d"])
    last = group.submit(["e"])
    with pytest.raises(QueueIsFull):
        group.submit(["f"])
    database.may_go_on.set()
    assert await settled(first, waiting, last) == [["FIRST"], ["A", "B"], ["E"]]
    assert await settled(group.submit(["c", "d"])) == [["C", "D"]]
    assert database.committed == ["first", "a", "b", "e", "c", "d"]


@pytest.mark.parametrize("position", range(7))
async def test_one_poisonous_command_fails_alone(
    database: Database, committer: Commit, position: int
) -> None:
    commands = list("abcdef")
    commands.insert(position, POISON)
    group = committer()
    first = await hold(database, group)
    waiting = [group.submit([command]) for command in commands]
    database.may_go_on.set()
    _, *answers = await settled(first, *waiting)
    assert isinstance(answers[position][0], DataError)
    del answers[position]
    assert answers == [[letter] for letter in "ABCDEF"]
    assert database.committed == ["first", *"abcdef"]


async def test_poison_within_a_job_fails_in_its_place(
    database: Database, committer: Commit
) -> None:
    jobs = [["a", POISON, "b"], [POISON], ["c", f"{POISON} too"]]
    group = committer()
    first = await hold(database, group)
    waiting = [group.submit(job) for job in jobs]
    database.may_go_on.set()
    _, *answers = await settled(first, *waiting)
    told = [[a if isinstance(a, str) else type(a).__name__ for a in job] for job in answers]
    assert told == [["A", "DataError", "B"], ["DataError"], ["C", "DataError"]]
    assert database.committed == ["first", "a", "b", "c"]


async def test_an_error_of_any_kind_is_isolated(database: Database, committer: Commit) -> None:
    database.errors = [ValueError("a NUL"), ValueError("a NUL"), ValueError("a NUL")]
    [answers] = await settled(committer().submit(["a", "b"]))
    assert [type(answer) for answer in answers] == [ValueError, ValueError]
    assert database.attempts == [["a", "b"], ["a"], ["b"]]


LOST: Sequence[Callable[[], Exception]] = (
    lambda: OperationalError("COMMIT", {}, DriverError(None), connection_invalidated=True),
    lambda: OperationalError("COMMIT", {}, DriverError(None)),
    lambda: OperationalError("COMMIT", {}, DriverError("57P01")),
    lambda: InterfaceError("COMMIT", {}, DriverError(None)),
)
PASSING = ("40001", "40P01", "55P03", "57014", "53100", "53200", "53300")


@pytest.mark.parametrize("lost", LOST)
async def test_a_batch_whose_connection_broke_is_tried_again_whole(
    database: Database, committer: Commit, lost: Callable[[], Exception]
) -> None:
    database.errors = [lost(), lost()]
    assert await settled(committer().submit(["a", "b"])) == [["A", "B"]]
    assert database.attempts == [["a", "b"]] * 3


@pytest.mark.parametrize("code", PASSING)
async def test_what_is_nobodys_fault_is_tried_again_whole(
    database: Database, committer: Commit, code: str
) -> None:
    database.errors = [OperationalError("UPDATE", {}, DriverError(code))]
    assert await settled(committer().submit(["a", "b"])) == [["A", "B"]]
    assert database.attempts == [["a", "b"]] * 2


async def test_a_database_that_only_reads_meanwhile_is_waited_for(
    database: Database, committer: Commit
) -> None:
    database.errors = [InternalError("INSERT", {}, DriverError("25006"))]
    assert await settled(committer().submit(["a", "b"])) == [["A", "B"]]


async def test_a_database_that_stays_away_leaves_the_outcome_unknown(
    database: Database, committer: Commit
) -> None:
    group = committer(give_up_seconds=0.05)
    database.errors = [LOST[0]() for _ in range(10_000)]
    [answers] = await settled(group.submit(["a", "b"]))
    assert [type(answer) for answer in answers] == [CommitUnknown, CommitUnknown]
    database.errors.clear()
    assert await settled(group.submit(["a", "b"])) == [["A", "B"]]


async def test_closing_commits_what_is_queued_and_takes_no_more(
    database: Database, committer: Commit
) -> None:
    group = committer()
    first = await hold(database, group)
    waiting = group.submit(["a"])
    closing = asyncio.create_task(group.close())
    while True:
        try:
            late = group.submit(["late"])
        except QueueIsFull:
            break
        late.cancel()
        await asyncio.sleep(0)
    database.may_go_on.set()
    assert await settled(first, waiting) == [["FIRST"], ["A"]]
    await closing
    assert "a" in database.committed


async def test_a_caller_that_leaves_does_not_take_its_command_along(
    database: Database, committer: Commit
) -> None:
    group = committer()
    first = await hold(database, group)
    leaving, staying = group.submit(["a"]), group.submit(["b"])
    leaving.cancel()
    database.may_go_on.set()
    assert await settled(first, staying) == [["FIRST"], ["B"]]
    assert database.committed == ["first", "a", "b"]


async def test_a_commit_that_breaks_answers_everyone_and_the_next_goes_on() -> None:
    broken = [ConnectionError("gone")]

    async def commit(commands: Sequence[str]) -> Sequence[str | Exception]:
        if broken:
            raise broken.pop()
        return list(commands)

    group: GroupCommitter[str, str] = GroupCommitter(commit, batch_max=10, queue_max=10)
    [answers] = await settled(group.submit(["a", "b"]))
    assert [type(answer) for answer in answers] == [ConnectionError, ConnectionError]
    assert await settled(group.submit(["c"])) == [["c"]]
    await group.close()


async def test_each_batchs_size_and_time_are_told(database: Database, committer: Commit) -> None:
    observed: list[tuple[int, float]] = []
    group = committer(observe=lambda size, seconds: observed.append((size, seconds)))
    first = await hold(database, group)
    waiting = [group.submit(["a"]), group.submit(["b", POISON])]
    database.may_go_on.set()
    await settled(first, *waiting)
    assert [size for size, _ in observed] == [1, 3]
    assert all(seconds >= 0 for _, seconds in observed)


async def test_while_callers_share_batches_a_small_one_waits_for_more(
    database: Database, committer: Commit
) -> None:
    group = committer(linger_seconds=0.2)
    first = await hold(database, group)
    waiting = [group.submit(["a"]), group.submit(["b"])]
    database.may_go_on.set()
    await settled(first, *waiting)
    early = group.submit(["c"])
    # As long as a caller's way in may take, and longer than a batch that does not wait.
    await asyncio.sleep(0.02)
    assert await settled(early, group.submit(["d"])) == [["C"], ["D"]]
    assert database.attempts == [["first"], ["a", "b"], ["c", "d"]]


@pytest.mark.parametrize("gathers_seconds", [0.05, None])
async def test_a_small_batch_waits_until_others_are_gathered_but_not_for_ever(
    database: Database, committer: Commit, gathers_seconds: float | None
) -> None:
    gathering = asyncio.Event()

    async def gathered() -> None:
        gathering.set()
        await asyncio.sleep(gathers_seconds or 2 * DEADLINE_SECONDS)

    linger_seconds = DEADLINE_SECONDS if gathers_seconds else 0.05
    group = committer(linger_seconds=linger_seconds, gathered=gathered)
    first = await hold(database, group)
    waiting = [group.submit(["a"]), group.submit(["b"])]
    database.may_go_on.set()
    await settled(first, *waiting)
    assert not gathering.is_set()
    early = group.submit(["c"])
    await gathering.wait()
    assert await settled(early, group.submit(["d"])) == [["C"], ["D"]]
    assert database.attempts == [["first"], ["a", "b"], ["c", "d"]]


async def test_who_comes_alone_does_not_wait_for_others(
    database: Database, committer: Commit
) -> None:
    group = committer(linger_seconds=2 * DEADLINE_SECONDS)
    for command in ("a", "b"):
        await settled(group.submit([command]))
    assert database.attempts == [["a"], ["b"]]


async def test_a_batch_that_is_worth_its_commit_does_not_wait(
    database: Database, committer: Commit
) -> None:
    group = committer(batch_max=3, linger_seconds=2 * DEADLINE_SECONDS)
    first = await hold(database, group)
    waiting = [group.submit(["a"]), group.submit(["b"]), group.submit(["c"])]
    after = group.submit(["d", "e", "f"])
    database.may_go_on.set()
    await settled(first, *waiting, after)
    assert database.attempts == [["first"], ["a", "b", "c"], ["d", "e", "f"]]


async def test_what_one_caller_submits_at_once_makes_no_batch_a_shared_one(
    database: Database, committer: Commit
) -> None:
    group = committer(linger_seconds=2 * DEADLINE_SECONDS, shared_by=3)
    first = await hold(database, group)
    waiting = [group.submit([each], caller="x") for each in ("a", "b", "c")]
    waiting.append(group.submit(["d"], caller="y"))
    database.may_go_on.set()
    await settled(first, *waiting)
    await settled(group.submit(["e"]))
    assert database.attempts == [["first"], ["a", "b", "c", "d"], ["e"]]
