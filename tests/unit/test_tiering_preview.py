"""What a draft would do, counted: against the reference, over slices, and as publishing does it."""

import os
from collections import Counter
from dataclasses import fields
from decimal import ROUND_FLOOR, Decimal

import msgspec
import numpy as np
from hypothesis import given, settings

from services.tiering.domain.columns import GrantKind
from services.tiering.domain.costs import per_year, worth_minor
from services.tiering.domain.engine import replay
from services.tiering.domain.preview import (
    Movers,
    PreviewPart,
    Replayed,
    decode_part,
    encode_part,
    preview_slice,
    ranks,
    without_tiers,
)
from services.tiering.domain.rules import Requirement, RuleSet, Tier
from tests.unit.test_tiering_programmes import CLASSIC, tier
from tests.unit.tiering_chance import DAYS_MAX, FIRST_DAY, last_days, rule_sets, several_people
from tests.unit.tiering_members import (
    Grant,
    Person,
    Row,
    assignments,
    enrolled,
    member_days,
)
from tests.unit.tiering_reference import Reference

EXAMPLES = int(os.environ.get("TIERING_EXAMPLES", "30"))


def previewed(
    in_force: RuleSet, draft: RuleSet, people: list[Person], effective_day: int
) -> tuple[PreviewPart, Movers]:
    return preview_slice(
        Replayed(in_force, FIRST_DAY - 3),
        Replayed(draft, FIRST_DAY),
        enrolled(people),
        member_days(people),
        assignments(people),
        effective_day=effective_day,
    )


def extra(row: Row, of: Tier) -> int:
    multiplier = Decimal(of.benefits.earn_multiplier)
    return sum(int((base * multiplier).to_integral_value(ROUND_FLOOR)) - base for base in row.bases)


def same(left: PreviewPart, right: PreviewPart) -> bool:
    return all(
        np.array_equal(getattr(left, field.name), getattr(right, field.name))
        for field in fields(PreviewPart)
    )


@settings(max_examples=EXAMPLES // 2, deadline=None)
@given(rule_sets(), rule_sets(), several_people, last_days)
def test_preview_is_what_the_reference_counts(
    in_force: RuleSet, draft: RuleSet, people: list[Person], effective_day: int
) -> None:
    part, movers = previewed(in_force, draft, people, effective_day)
    old = [Reference(in_force, who, FIRST_DAY - 3).run(effective_day - 1) for who in people]
    new = [Reference(draft, who, FIRST_DAY).run(effective_day - 1) for who in people]
    pairs = Counter((a.tier, b.tier) for a, b in zip(old, new, strict=True))
    assert {place: n for place, n in np.ndenumerate(part.matrix) if n} == dict(pairs)
    codes = [
        (in_force.tiers[a.tier].code, draft.tiers[b.tier].code)
        for a, b in zip(old, new, strict=True)
    ]
    assert movers.member.tolist() == [i for i, (a, b) in enumerate(codes) if a != b]
    assert movers.points.tolist() == [new[member].closed_sums["points"] for member in movers.member]
    assert part.members_up == (movers.direction > 0).sum()
    assert part.members_down == (movers.direction < 0).sum()
    for rule_set, ran, sizes, extras, pace in (
        (in_force, old, part.sizes_in_force, part.extra_in_force, part.pace_in_force),
        (draft, new, part.sizes_draft, part.extra_draft, part.pace_draft),
    ):
        for nth, on in enumerate(range(FIRST_DAY, effective_day)):
            sized = Counter(one.tiers.get(on, 0) for one in ran if one.person.enrolled <= on)
            assert sizes[nth].tolist() == [sized[place] for place in range(len(rule_set.tiers))]
            assert extras[nth] == sum(
                extra(one.person.rows[on], rule_set.tiers[one.tiers.get(on, 0)])
                for one in ran
                if on in one.person.rows
            )
        assert pace == sum(
            extra(row, rule_set.tiers[one.tier])
            for one in ran
            for on, row in one.person.rows.items()
            if max(FIRST_DAY, effective_day - 365) <= on < effective_day
        )


@settings(max_examples=EXAMPLES // 4, deadline=None)
@given(rule_sets(), rule_sets(), several_people, last_days)
def test_slices_add_up_to_the_whole_and_come_back_from_json(
    in_force: RuleSet, draft: RuleSet, people: list[Person], effective_day: int
) -> None:
    whole, _ = previewed(in_force, draft, people, effective_day)
    parts = [previewed(in_force, draft, [who], effective_day)[0] for who in people]
    total = decode_part(encode_part(parts[0]))
    for part in parts[1:]:
        total += decode_part(encode_part(part))
    assert same(total, whole)


@settings(max_examples=EXAMPLES // 4, deadline=None)
@given(rule_sets(), rule_sets(), several_people, last_days)
def test_publishing_gives_exactly_what_was_previewed(
    in_force: RuleSet, draft: RuleSet, people: list[Person], effective_day: int
) -> None:
    _, movers = previewed(in_force, draft, people, effective_day)
    args = enrolled(people), member_days(people), assignments(people)
    last_day = effective_day - 1
    before = replay(in_force, *args, from_day=FIRST_DAY - 3, to_day=last_day).states.tier
    after = replay(draft, *args, from_day=FIRST_DAY, to_day=last_day).states.tier
    expected = [in_force.tiers[place].code for place in before]
    for member, place in zip(movers.member, movers.new, strict=True):
        expected[member] = draft.tiers[place].code
    assert [draft.tiers[place].code for place in after] == expected


def test_lower_gold_moves_silvers_up_and_costs_what_their_baskets_earn_more() -> None:
    lower = msgspec.structs.replace(
        CLASSIC,
        tiers=(
            *CLASSIC.tiers[:2],
            tier("gold", Requirement(points=1_200), "1.25"),
            CLASSIC.tiers[3],
        ),
    )
    shopper = Person(
        FIRST_DAY,
        {
            FIRST_DAY: Row(points=1_200),
            FIRST_DAY + 1: Row(bases=(19, 7)),
            FIRST_DAY + 2: Row(points=1),
        },
    )
    part, movers = previewed(CLASSIC, lower, [shopper, Person(FIRST_DAY + 2)], FIRST_DAY + 3)
    assert part.matrix.tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert (part.members, part.members_up, part.members_down) == (2, 1, 0)
    assert part.sizes_in_force.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0]]
    assert part.sizes_draft.tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [1, 0, 1, 0]]
    # 19 and 7 times a tenth are 1 and 0; times a quarter, 4 and 1.
    assert part.extra_in_force.tolist() == [0, 1, 0]
    assert part.extra_draft.tolist() == [0, 5, 0]
    assert (movers.member.tolist(), movers.points.tolist()) == ([0], [1_201])
    assert (movers.old.tolist(), movers.new.tolist(), movers.direction.tolist()) == ([1], [2], [1])


def test_first_draft_is_compared_with_no_tiers() -> None:
    holder = Person(
        FIRST_DAY, {}, [Grant(GrantKind.AT_LEAST, "silver", FIRST_DAY, FIRST_DAY + DAYS_MAX)]
    )
    part, movers = previewed(without_tiers(CLASSIC), CLASSIC, [holder], FIRST_DAY + 1)
    assert part.matrix.tolist() == [[0, 1, 0, 0]]
    assert movers.direction.tolist() == [1]


def test_tier_the_draft_lacks_ranks_where_it_stood() -> None:
    renamed = msgspec.structs.replace(
        CLASSIC, tiers=(CLASSIC.tiers[0], tier("blue", Requirement(points=9)), *CLASSIC.tiers[2:])
    )
    assert ranks(renamed, CLASSIC) == [0, 1, 2, 3]
    fewer = msgspec.structs.replace(CLASSIC, tiers=(CLASSIC.tiers[0], *CLASSIC.tiers[2:]))
    assert ranks(fewer, CLASSIC) == [0, 1, 1, 2]


def test_worth_and_pace_are_rounded_half_up() -> None:
    assert worth_minor(5, Decimal("0.5")) == 3
    assert worth_minor(3, Decimal("0.8")) == 2
    assert per_year(100, 365) == 100
    assert per_year(1, 730) == 1
    assert per_year(10, 0) == 0
