"""Members who turn out to be one person, and the tiers that follow."""

import asyncio
import uuid
from functools import partial

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from loyalty.tiering.v1 import rules_pb2, tiering_pb2
from sqlalchemy.exc import IntegrityError

from tests.service.contents import contents
from tests.service.refusals import refused
from tests.service.tiering_calls import (
    GROUP,
    RETURN,
    Posted,
    Tiering,
    classic,
    days,
    member,
    sales,
)
from tests.service.tiering_merging import COUNTED, erase, merge, states, undo

SOURCE, TARGET, TWIN = member(1), member(2), member(9)
OWN = [("2017-01-01", 300), ("2017-01-03", 900)]
OTHERS = [("2017-01-02", 400), ("2017-01-03", 100)]


def without_name(found: tiering_pb2.MemberTier) -> tiering_pb2.MemberTier:
    found.name = ""
    found.ClearField("history")
    return found


async def test_a_target_is_where_all_that_both_did_would_have_brought_one_member(
    tiering: Tiering,
) -> None:
    await tiering.in_force()
    tiering.join(1, 2, 9)
    tiering.post(*sales(1, OTHERS), *sales(2, OWN), *sales(9, [*OWN, *OTHERS]))
    await tiering.close_day("2017-01-03")
    merge(tiering, SOURCE, TARGET)
    # What the source's wallet does from now on counts for the target too, also late.
    tiering.post(*sales(1, [("2017-01-04", 50)]), *sales(9, [("2017-01-04", 50)]))
    tiering.post(Posted(1, "2017-01-02", 7), Posted(9, "2017-01-02", 7))
    await tiering.close_day("2017-01-04")
    assert states(tiering, TARGET) == states(tiering, TWIN)
    one, twin = await tiering.tier(TARGET), await tiering.tier(TWIN)
    assert without_name(one) == without_name(twin)
    assert one.tier == "gold"
    assert [change for change in tiering.changes() if change[0] == TARGET] == [
        (TARGET, "base", "silver", "2017-01-04"),
        (TARGET, "silver", "gold", "2017-01-05"),
    ]


async def test_an_undone_merge_leaves_both_as_if_it_had_never_been(tiering: Tiering) -> None:
    await tiering.in_force()
    tiering.join(1, 2, 3, 4)
    # 3 and 4 do the same as 1 and 2, and are never merged.
    for first in (1, 3):
        tiering.post(*sales(first, OTHERS), *sales(first + 1, OWN))
    await tiering.close_day("2017-01-03")
    name = merge(tiering, SOURCE, TARGET)
    for first in (1, 3):
        tiering.post(*sales(first, [("2017-01-02", 90), ("2017-01-04", 60)]))
        tiering.post(*sales(first + 1, [("2017-01-04", 300)]))
    await tiering.close_day("2017-01-05")
    assert (await tiering.tier(TARGET)).tier == "gold"
    undo(tiering, name, SOURCE, TARGET)
    await tiering.close_day("2017-01-06")
    for number in (1, 2):
        assert states(tiering, member(number)) == states(tiering, member(number + 2))
        one, twin = await tiering.tier(member(number)), await tiering.tier(member(number + 2))
        assert without_name(one) == without_name(twin)
    assert tiering.rows("SELECT count(*) FROM activity WHERE origin IS NOT NULL") == [(0,)]


async def test_a_merged_member_has_no_tier_and_none_is_announced(tiering: Tiering) -> None:
    await tiering.in_force()
    tiering.join(1, 2)
    tiering.post(Posted(1, "2017-01-01", 600))
    await tiering.close_day("2017-01-01")
    merge(tiering, SOURCE, TARGET)
    refusal = await refused(tiering.tier(SOURCE))
    assert (refusal.reason, refusal.metadata) == ("MEMBER_MERGED", {"into": TARGET})
    await tiering.close_day("2018-01-03")
    assert [change[0] for change in tiering.changes()] == [SOURCE, TARGET, TARGET]


async def test_people_who_ask_by_a_merged_name_are_told_the_other(tiering: Tiering) -> None:
    await tiering.in_force()
    tiering.join(1, 2, 3)
    merge(tiering, SOURCE, TARGET)
    merge(tiering, TARGET, member(3))
    before = contents(tiering.database_url)
    invitation = tiering_pb2.InviteMemberRequest(
        member=SOURCE, group=GROUP, tier="gold", reason="a friend"
    )
    for call in (
        tiering.tier(SOURCE),
        tiering.assign(SOURCE, "gold"),
        tiering.tiers.InviteMember(invitation, metadata=tiering.everything),
    ):
        refusal = await refused(call)
        assert (refusal.reason, refusal.metadata) == ("MEMBER_MERGED", {"into": member(3)})
    assert contents(tiering.database_url) == before


async def test_what_was_granted_counts_for_the_target_but_for_exactly_a_tier(
    tiering: Tiering,
) -> None:
    await tiering.in_force()
    tiering.join(1, 2, 3)
    assigned = await tiering.assign(SOURCE, "gold")
    await tiering.assign(member(3), "base", exactly=True)
    await tiering.assign(TARGET, "silver")
    first, second = merge(tiering, SOURCE, TARGET), merge(tiering, member(3), TARGET)
    await tiering.close_day("2017-01-01")
    assert (await tiering.tier(TARGET)).tier == "gold"
    assert (await tiering.revoke(assigned)).member == SOURCE
    assert (await tiering.tier(TARGET)).tier == "silver"
    undo(tiering, first, SOURCE, TARGET)
    undo(tiering, second, member(3), TARGET)
    await tiering.close_day("2017-01-02")
    tiers = [(await tiering.tier(member(number))).tier for number in (1, 2, 3)]
    assert tiers == ["base", "silver", "base"]


async def test_an_audience_is_of_the_names_it_was_given(tiering: Tiering) -> None:
    await tiering.in_force()
    tiering.join(1, 2)
    name = merge(tiering, SOURCE, TARGET)

    async def set_audience(**names: list[str]) -> int:
        request = tiering_pb2.SetAudienceRequest(audience="staff", **names)
        answer = await tiering.tiers.SetAudience(request, metadata=tiering.everything)
        return int(answer.members)

    assert await set_audience(added_members=[SOURCE, TARGET]) == 2
    counted = "SELECT member, origin FROM grants ORDER BY id"
    assert tiering.rows(counted) == [(2, 1), (2, None)]
    undo(tiering, name, SOURCE, TARGET)
    assert tiering.rows(counted) == [(1, None), (2, None)]
    assert await set_audience(removed_members=[SOURCE]) == 1


async def test_a_merge_heard_of_first_counts_what_comes_later(tiering: Tiering) -> None:
    await tiering.in_force()
    tiering.post(Posted(1, "2017-01-01", 400))
    name = merge(tiering, SOURCE, TARGET)
    tiering.join(2, 1)
    tiering.post(Posted(1, "2017-01-02", 50), Posted(2, "2017-01-02", 60))
    await tiering.close_day("2017-01-02")
    assert tiering.changes() == [(TARGET, "base", "silver", "2017-01-03")]
    undo(tiering, name, SOURCE, TARGET)
    await tiering.close_day("2017-01-03")
    assert [row[1:] for row in tiering.rows(COUNTED)] == [
        (SOURCE.removeprefix("members/"), 17_167, 400),
        (SOURCE.removeprefix("members/"), 17_168, 50),
        (TARGET.removeprefix("members/"), 17_168, 60),
    ]
    assert tiering.changes()[1:] == [(TARGET, "silver", "base", "2017-01-04")]


async def test_an_undoing_heard_of_first_leaves_nothing_to_merge(tiering: Tiering) -> None:
    tiering.join(1, 2)
    tiering.post(Posted(1, "2017-01-01", 400))
    name = f"merges/{uuid.uuid4()}"
    undo(tiering, name, SOURCE, TARGET)
    merge(tiering, SOURCE, TARGET, name=name)
    assert tiering.rows("SELECT member, origin FROM activity") == [(1, None)]
    assert tiering.rows("SELECT count(*) FROM members WHERE root IS NOT NULL") == [(0,)]


async def test_a_return_after_the_merge_takes_from_the_day_of_its_sale(tiering: Tiering) -> None:
    await tiering.in_force()
    tiering.join(1, 2)
    tiering.post(Posted(1, "2017-01-01", 600, 60_000, base=600))
    merge(tiering, SOURCE, TARGET)
    await tiering.close_day("2017-01-01")
    tiering.post(
        Posted(*(1, "2017-01-02", -600, -60_000, -1, 0, 600, RETURN), original_day="2017-01-01")
    )
    await tiering.close_day("2017-01-02")
    assert tiering.changes() == [
        (TARGET, "base", "silver", "2017-01-02"),
        (TARGET, "silver", "base", "2017-01-03"),
    ]


@pytest.mark.parametrize("again", [False, True], ids=["once", "twice"])
async def test_a_tier_is_told_from_what_others_know_when_rules_changed_meanwhile(
    tiering: Tiering, again: bool
) -> None:
    await tiering.in_force()
    tiering.join(1, 2)
    tiering.post(Posted(1, "2017-01-01", 600))
    await tiering.close_day("2017-01-01")
    name = merge(tiering, SOURCE, TARGET)
    rules = classic()
    del rules.tiers[1]
    await tiering.publish(await tiering.draft(rules), "2017-01-03", replay_from_day="2017-01-01")
    await tiering.close_day("2017-01-03")
    undo(tiering, name, SOURCE, TARGET)
    if again:
        await tiering.publish(await tiering.draft(rules), "2017-01-05")
    await tiering.close_day("2017-01-04")
    assert [change for change in tiering.changes() if change[0] == SOURCE] == [
        (SOURCE, "base", "silver", "2017-01-02"),
        (SOURCE, "silver", "base", "2017-01-05"),
    ]


async def test_who_is_themself_again_is_shown_by_the_rules_that_came_meanwhile(
    tiering: Tiering,
) -> None:
    await tiering.in_force()
    tiering.join(1, 2)
    tiering.post(Posted(1, "2017-01-01", 600))
    await tiering.close_day("2017-01-01")
    name = merge(tiering, SOURCE, TARGET)
    draft = await tiering.draft(classic())
    await tiering.publish(draft, "2017-01-03", replay_from_day="2017-01-01")
    await tiering.close_day("2017-01-03")
    undo(tiering, name, SOURCE, TARGET)
    found = without_name(await tiering.tier(SOURCE))
    assert found.tier == "silver"
    await tiering.close_day("2017-01-04")
    after = without_name(await tiering.tier(SOURCE))
    assert (found.tier, found.since_day) == (after.tier, after.since_day)
    assert [change for change in tiering.changes() if change[0] == SOURCE] == [
        (SOURCE, "base", "silver", "2017-01-02")
    ]


async def test_a_preview_counts_who_members_are_now(tiering: Tiering) -> None:
    await tiering.in_force()
    tiering.join(1, 2, 3)
    tiering.post(*sales(1, [("2017-01-01", 400)]), *sales(2, [("2017-01-01", 100)]))
    await tiering.close_day("2017-01-01")
    merge(tiering, SOURCE, TARGET)
    draft = await tiering.draft(classic())
    found = await tiering.preview(draft, effective_day="2017-01-02")
    assert found.members == 2


async def test_at_the_event_a_sale_of_the_source_raises_the_target(tiering: Tiering) -> None:
    await tiering.in_force(classic(evaluation=rules_pb2.Rules.EVALUATION_AT_EVENT))
    tiering.join(1, 2)
    tiering.post(Posted(1, "2017-01-01", 300))
    merge(tiering, SOURCE, TARGET)
    tiering.post(Posted(1, "2017-01-01", 200))
    assert tiering.changes() == [(TARGET, "base", "silver", "2017-01-01")]


async def test_who_is_erased_is_in_no_audience_and_no_reason_tells_of_them(
    tiering: Tiering,
) -> None:
    await tiering.in_force()
    tiering.join(1, 2)
    await tiering.assign(SOURCE, "gold", reason="moved here from Basel")
    request = tiering_pb2.SetAudienceRequest(audience="staff", added_members=[SOURCE, TARGET])
    await tiering.tiers.SetAudience(request, metadata=tiering.everything)
    erase(tiering, SOURCE)
    erase(tiering, member(77))
    assert tiering.rows("SELECT count(*) FROM members") == [(2,)]
    assert tiering.rows("SELECT reason FROM grants WHERE member = 1 ORDER BY id") == [("",), ("",)]
    again = tiering_pb2.SetAudienceRequest(audience="staff", added_members=[TARGET])
    left = await tiering.tiers.SetAudience(again, metadata=tiering.everything)
    assert left.members == 1
    await tiering.close_day("2017-01-01")
    assert (await tiering.tier(SOURCE)).tier == "gold"


def test_nobody_is_merged_into_themself(tiering: Tiering) -> None:
    tiering.join(1, 2, 3)
    merge(tiering, SOURCE, TARGET)
    before = contents(tiering.database_url)
    with pytest.raises(ValueError, match="the target is the source already"):
        merge(tiering, TARGET, SOURCE)
    with pytest.raises(IntegrityError):
        merge(tiering, member(3), member(3))
    # Another merge of the source has to be undone first.
    with pytest.raises(IntegrityError):
        merge(tiering, SOURCE, member(3))
    assert contents(tiering.database_url) == before


async def test_sales_while_members_are_merged_and_parted_all_count(tiering: Tiering) -> None:
    tiering.join(1, 2)

    def sell(day: str) -> None:
        for number in (1, 2):
            tiering.post(Posted(number, day, 10))

    def merge_and_part() -> None:
        for _ in range(5):
            undo(tiering, merge(tiering, SOURCE, TARGET), SOURCE, TARGET)
        merge(tiering, SOURCE, TARGET)

    work = [partial(sell, day) for day in days("2017-01-01", "2017-01-10")]
    await asyncio.gather(
        asyncio.to_thread(merge_and_part), *[asyncio.to_thread(each) for each in work]
    )
    counted = "SELECT member, origin, sum(points)::int FROM activity GROUP BY 1, 2 ORDER BY 2"
    assert tiering.rows(counted) == [(2, 1, 100), (2, None, 100)]


PEOPLE = range(5)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("sale"), st.sampled_from(PEOPLE), st.integers(1, 50)),
        st.tuples(st.just("attach"), st.sampled_from(PEOPLE), st.sampled_from(PEOPLE)),
        st.tuples(st.just("merge"), st.sampled_from(PEOPLE), st.sampled_from(PEOPLE)),
        st.tuples(st.just("undo"), st.integers(0, 9), st.just(0)),
    ),
    min_size=5,
    max_size=25,
)


class Model:
    """Who did what, and who is whom; nothing is ever moved here."""

    def __init__(self) -> None:
        self.owners: dict[int, int] = {}
        self.sales: list[tuple[int, int]] = []
        self.merges: dict[str, tuple[int, int]] = {}

    def root(self, person: int) -> int:
        for source, target in self.merges.values():
            if source == person:
                return self.root(target)
        return person

    def may_merge(self, source: int, target: int) -> bool:
        merged = {each for each, _ in self.merges.values()}
        return source not in merged and self.root(target) != source

    def sums(self) -> dict[tuple[int, int], int]:
        """By whom it counts for and who did it."""
        found: dict[tuple[int, int], int] = {}
        for wallet, points in self.sales:
            if wallet in self.owners:
                doing = self.owners[wallet]
                key = (self.root(doing), doing)
                found[key] = found.get(key, 0) + points
        return found


@settings(
    max_examples=25,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
@given(steps=STEPS)
def test_whatever_is_merged_and_undone_each_counts_where_they_belong(
    tiering: Tiering, steps: list[tuple[str, int, int]]
) -> None:
    model, begin = Model(), uuid.uuid4().int % 10**9 * 100
    names = [member(begin + person) for person in PEOPLE]
    for what, first, second in steps:
        if what == "sale":
            tiering.post(Posted(begin + first, "2017-01-01", second))
            model.sales.append((first, second))
        elif what == "attach":
            tiering.attach(begin + first, names[second])
            model.owners.setdefault(first, second)
        elif what == "merge" and model.may_merge(first, second):
            model.merges[merge(tiering, names[first], names[second])] = first, second
        elif what == "undo" and model.merges:
            name = list(model.merges)[first % len(model.merges)]
            source, target = model.merges.pop(name)
            undo(tiering, name, names[source], names[target])
    people = {name.removeprefix("members/"): person for person, name in enumerate(names)}
    found = {
        (people[counting], people[doing]): points
        for counting, doing, _, points in tiering.rows(COUNTED)
        if counting in people
    }
    assert found == model.sums()
