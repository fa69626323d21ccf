"""Rule sets and members' histories drawn by chance."""

from hypothesis import assume
from hypothesis import strategies as st

from services.tiering.domain import rules
from services.tiering.domain.checking import check
from services.tiering.domain.columns import NEVER, GrantKind
from tests.unit.tiering_members import Grant, Person, Row, day

# So that ends of years, a 29 February and months of every length lie within a few hundred days.
FIRST_DAY = day("2023-11-25")
DAYS_MAX = 420
CODES = ("base", "silver", "gold", "platinum")
MULTIPLIERS = ("1", "1.1", "1.25", "1.50", "3", "0.5")
AUDIENCES = ("staff", "students")

windows = st.one_of(
    st.builds(rules.RollingMonths, months=st.integers(1, 5)),
    st.builds(rules.CalendarYear, first_month=st.sampled_from([1, 4, 12])),
    st.just(rules.AnniversaryYear()),
)
months_kept = st.builds(rules.KeptMonths, months=st.integers(1, 4))
dates_kept = st.builds(
    rules.KeptToDate,
    month=st.sampled_from([2, 6, 11, 12]),
    day=st.sampled_from([1, 15, 31]),
    years_after=st.integers(1, 2),
)
periods_kept = st.builds(rules.KeptToPeriodEnd, years_after=st.integers(0, 1))


@st.composite
def bars(draw: st.DrawFn, place: int, *, scale: int = 4) -> rules.Bar:
    base = place * scale
    amounts = {
        "points": base + draw(st.integers(0, scale - 1)),
        "spend_minor": base + draw(st.integers(0, scale - 1)),
        "visits": base // 2 + draw(st.integers(0, 1)),
    }
    measures = draw(st.sampled_from([["points"], ["points"], ["points", "visits"], [*amounts]]))
    join = draw(st.sampled_from(rules.Join))
    attain = rules.Requirement(join=join, **{m: amounts[m] for m in measures})
    lower = {m: max(1, amounts[m] - draw(st.integers(0, 2))) for m in measures}
    return rules.Bar(attain, draw(st.none() | st.just(rules.Requirement(join=join, **lower))))


@st.composite
def tiers(draw: st.DrawFn) -> tuple[rules.Tier, ...]:
    made = [rules.Tier("base", "Base")]
    for place in range(1, draw(st.integers(1, 3)) + 1):
        audiences = draw(st.dictionaries(st.sampled_from(AUDIENCES), bars(place, scale=3)))
        invitation_only = draw(st.sampled_from([False, False, False, True]))
        bar = draw(st.none() | bars(place)) if invitation_only else draw(bars(place))
        lifetime = draw(st.sampled_from([None, None, rules.Requirement(points=place * 9)]))
        made.append(
            rules.Tier(
                CODES[place],
                CODES[place].title(),
                bar=bar,
                audiences=audiences,
                invitation_only=invitation_only,
                lifetime=lifetime,
                benefits=rules.Benefits(draw(st.sampled_from(MULTIPLIERS))),
            )
        )
    return tuple(made)


@st.composite
def rule_sets(draw: st.DrawFn) -> rules.RuleSet:
    window = draw(windows)
    rolling = isinstance(window, rules.RollingMonths)
    keepings = months_kept | dates_kept if rolling else months_kept | dates_kept | periods_kept
    found = rules.RuleSet(
        name="by chance",
        tiers=draw(tiers()),
        window=window,
        keeping=draw(keepings),
        keeping_after_downgrade=draw(st.none() | keepings),
        evaluation=draw(st.sampled_from(rules.Evaluation)),
        downgrade=draw(st.sampled_from(rules.Downgrade)),
        grace_days=draw(st.sampled_from([0, 0, 1, 20])),
        counting=draw(st.sampled_from(rules.Counting)),
        carry_limit=draw(
            st.sampled_from([rules.Amounts(), rules.Amounts(3, 2, 1), rules.Amounts(points=20)])
        ),
    )
    # A tier that ends before its window's year does would come back every other day.
    assume(not any(problem.field.startswith("keeping") for problem in check(found)))
    return found


def rows() -> st.SearchStrategy[Row]:
    return st.builds(
        Row,
        points=st.integers(-3, 6),
        spend_minor=st.integers(-3, 6),
        visits=st.integers(-1, 3),
        bases=st.lists(st.integers(0, 30), max_size=3).map(tuple),
    )


@st.composite
def grants(draw: st.DrawFn) -> Grant:
    kind = draw(st.sampled_from(GrantKind))
    names = AUDIENCES if kind is GrantKind.AUDIENCE else (*CODES, "unheard-of")
    from_day = FIRST_DAY + draw(st.integers(-30, DAYS_MAX))
    lasting = draw(st.none() | st.integers(1, 200))
    end_day = NEVER if lasting is None else from_day + lasting
    return Grant(kind, draw(st.sampled_from(names)), from_day, end_day)


@st.composite
def people(draw: st.DrawFn) -> Person:
    offsets = st.integers(-150, DAYS_MAX) | st.integers(0, 60)
    return Person(
        enrolled=draw(
            st.sampled_from([day("2020-02-29"), day("2023-12-31"), FIRST_DAY - 1, FIRST_DAY + 3])
        ),
        rows={
            FIRST_DAY + offset: row
            for offset, row in draw(st.dictionaries(offsets, rows(), max_size=25)).items()
        },
        grants=draw(st.lists(grants(), max_size=2)),
    )


several_people = st.lists(people(), min_size=1, max_size=3)
# Past the end of a calendar year.
soon = st.integers(0, 50).map(lambda offset: FIRST_DAY + offset)
last_days = st.integers(0, DAYS_MAX).map(lambda offset: FIRST_DAY + offset)
