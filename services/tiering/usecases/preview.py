"""What a draft would do, computed over the history of every member."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial, reduce
from itertools import zip_longest
from operator import add
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine

from services.plumbing.database import transaction
from services.tiering.domain import engine
from services.tiering.domain.checking import refuse_problems
from services.tiering.domain.preview import (
    Movers,
    PreviewPart,
    Replayed,
    preview_slice,
    without_tiers,
)
from services.tiering.domain.refusals import PreviewUnderWay, ReplayAfterEffect
from services.tiering.domain.rules import Measure, RuleSet
from services.tiering.storage import grants, histories, members, previews, rule_sets
from services.tiering.storage.histories import History
from services.tiering.storage.previews import Mover, Preview
from services.tiering.storage.rule_sets import Name
from services.tiering.usecases.opening import open_day


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to preview; days are None for the usual ones."""

    rule_set: Name
    effective_day: int | None
    replay_from_day: int | None
    point_value_minor: Decimal
    creator: str


@dataclass(frozen=True, slots=True)
class Result:
    """A preview and its answer as far as it is computed; total is None before the first slice."""

    preview: Preview
    compared: RuleSet
    members_done: int
    finished: bool
    total: PreviewPart | None


def begin_preview(database: Engine, wanted: Wanted, *, now: datetime) -> UUID:
    """Note what is to be computed. Refuses: RuleSetNotFound, RuleSetInvalid, ReplayAfterEffect."""
    with transaction(database) as connection:
        draft = rule_sets.read(connection, wanted.rule_set)
        group_id = draft.group_id
        refuse_problems(draft.rules, assigned=grants.assigned_tiers(connection, group_id))
        effective_day = wanted.effective_day
        if effective_day is None:
            effective_day = open_day(connection, group_id, now)
        replay_from_day = wanted.replay_from_day
        if replay_from_day is None:
            first = rule_sets.first_effective_day(connection, group_id)
            replay_from_day = effective_day if first is None else min(first, effective_day)
        if replay_from_day > effective_day:
            raise ReplayAfterEffect
        compared = rule_sets.in_force(connection, group_id, effective_day - 1)
        preview = Preview(
            id=uuid4(),
            group_id=group_id,
            group=draft.group,
            version=draft.version,
            rules=draft.rules,
            compared_version=compared.version if compared else None,
            effective_day=effective_day,
            replay_from_day=replay_from_day,
            point_value_minor=wanted.point_value_minor,
            members=members.count(connection),
            slices=members.slices(connection),
            creator=wanted.creator,
            create_time=now,
        )
        previews.add(connection, preview)
        return preview.id


def compute_preview(
    reading: Engine,
    writing: Engine,
    preview_id: UUID,
    *,
    rest: Callable[[], None] = lambda: None,
) -> None:
    """Compute the slices that are not computed yet, and keep each as it is done; after each comes a
    rest.

    What is read is read at one moment; a preview that was stopped and goes on reads what is known
    by then. Refuses: PreviewNotFound, PreviewUnderWay.
    """
    with writing.connect() as claiming, previews.claimed(claiming, preview_id) as got:
        if not got:
            raise PreviewUnderWay
        with transaction(reading) as connection:
            previews.take_snapshot(connection)
            preview = previews.read(connection, preview_id)
            in_force, draft = _sides(connection, preview)
            read = _reader(connection, preview, in_force, draft)
            done = previews.done(connection, preview_id)
            for number, history in _read_ahead(read, [n for n in preview.slices if n not in done]):
                part, movers = preview_slice(
                    in_force,
                    draft,
                    history.enrolled,
                    history.days,
                    history.grants,
                    effective_day=preview.effective_day,
                )
                _keep(writing, preview, number, part, movers, history, in_force.rule_set)
                rest()


def _reader(
    connection: Connection, preview: Preview, in_force: Replayed, draft: Replayed
) -> Callable[[int], History]:
    """Reads of a slice what either side looks at."""
    sides = (in_force, draft)
    return partial(
        histories.of_slice,
        connection,
        preview.group_id,
        from_day=min(engine.rows_needed_to_replay(s.rule_set, s.from_day) for s in sides),
        measures=set[Measure]().union(*(engine.measures_needed(s.rule_set) for s in sides)),
    )


def _read_ahead(
    read: Callable[[int], History], numbers: Sequence[int]
) -> Iterator[tuple[int, History]]:
    """Slices, each read while the one before it is computed."""
    with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:
        reading = [reader.submit(read, number) for number in numbers[:1]]
        for number, following in zip_longest(numbers, numbers[1:]):
            history = reading.pop().result()
            if following is not None:
                reading.append(reader.submit(read, following))
            yield number, history


def _keep(
    writing: Engine,
    preview: Preview,
    number: int,
    part: PreviewPart,
    movers: Movers,
    history: History,
    in_force: RuleSet,
) -> None:
    with transaction(writing) as keeping:
        previews.add_part(
            keeping,
            preview,
            number,
            part,
            movers=movers,
            member_numbers=history.numbers[movers.member].tolist(),
            old_codes=[tier.code for tier in in_force.tiers],
        )


def _sides(connection: Connection, preview: Preview) -> tuple[Replayed, Replayed]:
    """The rules in force, or everybody in the first tier where there are none, and the draft."""
    draft = Replayed(preview.rules, preview.replay_from_day)
    if preview.compared_version is None:
        return Replayed(without_tiers(preview.rules), preview.replay_from_day), draft
    name = Name(preview.group, preview.compared_version)
    compared = rule_sets.read(connection, name)
    return Replayed(compared.rules, compared.replay_from), draft


def read_progress(database: Engine, preview_id: UUID) -> tuple[int, int]:
    """How many members are done, and how many there are. Refuses: PreviewNotFound."""
    with transaction(database) as connection:
        preview = previews.read(connection, preview_id)
        return sum(previews.done(connection, preview_id).values()), preview.members


def read_preview(database: Engine, preview_id: UUID) -> Result:
    """Refuses: PreviewNotFound."""
    with transaction(database) as connection:
        preview = previews.read(connection, preview_id)
        parts = previews.parts(connection, preview_id)
        in_force, _ = _sides(connection, preview)
    return Result(
        preview=preview,
        compared=in_force.rule_set,
        members_done=sum(part.members for part in parts),
        finished=len(parts) == len(preview.slices),
        total=reduce(add, parts) if parts else None,
    )


def list_movers(
    database: Engine, preview_id: UUID, *, after: int, directions: Sequence[int], limit: int
) -> list[Mover]:
    """Refuses: PreviewNotFound."""
    with transaction(database) as connection:
        previews.read(connection, preview_id)
        return previews.movers_after(
            connection, preview_id, after, directions=directions, limit=limit
        )
