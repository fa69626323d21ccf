"""Five kinds of programme, by the rules they publish."""

import msgspec

from services.tiering.domain.checking import check
from services.tiering.domain.columns import GrantKind
from services.tiering.domain.rules import (
    Amounts,
    AnniversaryYear,
    Bar,
    Benefits,
    CalendarYear,
    Downgrade,
    Join,
    KeptMonths,
    KeptToDate,
    KeptToPeriodEnd,
    Requirement,
    RollingMonths,
    RuleSet,
    Tier,
    decode,
    encode,
)
from tests.unit.tiering_members import Grant, Row, day
from tests.unit.tiering_story import story


def tier(code: str, attain: Requirement | None = None, multiplier: str = "1") -> Tier:
    benefits = Benefits(earn_multiplier=multiplier)
    return Tier(code, code.title(), bar=Bar(attain) if attain else None, benefits=benefits)


def spend(amount: int) -> Row:
    return Row(spend_minor=amount * 100, visits=1)


def spent(amount: int) -> Requirement:
    return Requirement(spend_minor=amount * 100)


CLASSIC = RuleSet(
    name="classic",
    tiers=(
        tier("base"),
        tier("silver", Requirement(points=500), "1.1"),
        tier("gold", Requirement(points=1_500), "1.25"),
        tier("platinum", Requirement(points=4_000), "1.5"),
    ),
    window=RollingMonths(12),
    keeping=KeptMonths(12),
)
# Status through January after the next year; who falls short lands one level lower for a year.
AIRLINE = RuleSet(
    name="airline",
    tiers=(
        tier("base"),
        tier("silver", spent(5_000)),
        tier("gold", spent(10_000)),
        tier("platinum", spent(15_000)),
        tier("diamond", spent(28_000)),
    ),
    window=CalendarYear(),
    keeping=KeptToDate(month=1, day=31, years_after=2),
    keeping_after_downgrade=KeptToDate(month=1, day=31, years_after=1),
    downgrade=Downgrade.ONE_STEP,
)
# Nights are visits. Nights above a level roll over; a thousand nights' worth stays for life.
HOTEL = RuleSet(
    name="hotel",
    tiers=(
        tier("member"),
        tier("silver", Requirement(visits=10, points=25_000)),
        tier("gold", Requirement(visits=40, points=75_000)),
        Tier(
            "diamond",
            "Diamond",
            bar=Bar(Requirement(visits=60, points=120_000)),
            lifetime=Requirement(visits=1_000, points=2_000_000),
        ),
    ),
    window=CalendarYear(),
    keeping=KeptToDate(month=3, day=31, years_after=2),
    downgrade=Downgrade.ONE_STEP,
    carry_limit=Amounts(visits=1_000),
)
# Stars of the year since the member joined; the level lasts through the year after.
COFFEE = RuleSet(
    name="coffee",
    tiers=(
        tier("welcome"),
        tier("green", Requirement(points=5)),
        tier("gold", Requirement(points=30)),
    ),
    window=AnniversaryYear(),
    keeping=KeptToPeriodEnd(years_after=1),
    downgrade=Downgrade.FULL,
)
BEAUTY = RuleSet(
    name="beauty",
    tiers=(tier("insider"), tier("vib", spent(350)), tier("rouge", spent(1_000))),
    window=CalendarYear(),
    keeping=KeptToPeriodEnd(years_after=1),
    downgrade=Downgrade.FULL,
)
# Cardholders need less, and the highest level is for those asked to join it.
STORE = RuleSet(
    name="department store",
    tiers=(
        tier("member"),
        Tier(
            "influencer",
            "Influencer",
            bar=Bar(spent(2_000)),
            audiences={"cardholders": Bar(spent(500))},
        ),
        Tier(
            "ambassador",
            "Ambassador",
            bar=Bar(spent(10_000)),
            audiences={"cardholders": Bar(spent(5_000))},
        ),
        Tier("icon", "Icon", bar=Bar(spent(15_000)), invitation_only=True),
    ),
    window=CalendarYear(),
    keeping=KeptToPeriodEnd(years_after=1),
    downgrade=Downgrade.FULL,
)
ALL = (CLASSIC, AIRLINE, HOTEL, COFFEE, BEAUTY, STORE)


def test_each_can_be_published_and_is_read_back_as_it_was_written() -> None:
    for rule_set in ALL:
        assert check(rule_set) == []
        assert decode(encode(rule_set)) == rule_set


def test_classic_rises_the_day_after_and_is_kept_twelve_months() -> None:
    rows = {"2024-02-10": Row(points=499), "2024-02-27": Row(points=1)}
    assert story(CLASSIC, rows, end="2025-03-10") == [
        "2024-02-28 base>silver reached, to 2025-02-27",
        # The 499 points of 10 February no longer count at the close of 27 February.
        "2025-02-28 silver>base lapsed",
    ]


def test_classic_is_renewed_at_its_end_by_what_the_last_twelve_months_hold() -> None:
    rows = {"2024-02-10": Row(points=600), "2025-02-10": Row(points=500)}
    assert story(CLASSIC, rows, end="2026-02-20") == [
        "2024-02-11 base>silver reached, to 2025-02-10",
        "2025-02-11 silver>silver renewed, to 2026-02-10",
        "2026-02-11 silver>base lapsed",
    ]


def test_classic_comes_down_a_step_a_term() -> None:
    rows = {"2024-01-10": Row(points=4_000)}
    assert story(CLASSIC, rows, end="2027-02-01") == [
        "2024-01-11 base>platinum reached, to 2025-01-10",
        "2025-01-11 platinum>gold lapsed, to 2026-01-10",
        "2026-01-11 gold>silver lapsed, to 2027-01-10",
        "2027-01-11 silver>base lapsed",
    ]


def test_airline_status_lasts_through_january_after_the_next_year_and_lands_softly() -> None:
    rows = {"2024-06-01": spend(16_000), "2025-12-31": spend(5_000)}
    assert story(AIRLINE, rows, end="2028-02-10") == [
        "2024-06-02 base>platinum reached, to 2026-01-31",
        "2026-02-01 platinum>gold lapsed, to 2027-01-31",
        # Silver was earned in 2025 and waited its turn, but ends together with gold.
        "2027-02-01 gold>silver lapsed, to 2028-01-31",
        "2028-02-01 silver>base lapsed",
    ]


def test_airline_status_met_again_is_renewed_at_once_for_a_later_january() -> None:
    rows = {"2024-06-01": spend(10_000), "2025-03-01": spend(9_999), "2025-03-05": spend(1)}
    assert story(AIRLINE, rows, end="2026-12-31") == [
        "2024-06-02 base>gold reached, to 2026-01-31",
        "2025-03-06 gold>gold renewed, to 2027-01-31",
    ]


def test_airline_falls_to_what_the_last_full_year_gave_where_landing_is_not_soft() -> None:
    rows = {"2024-06-01": spend(16_000), "2025-12-31": spend(5_000)}
    hard_landing = msgspec.structs.replace(AIRLINE, downgrade=Downgrade.FULL)
    assert story(hard_landing, rows, end="2027-02-10") == [
        "2024-06-02 base>platinum reached, to 2026-01-31",
        "2026-02-01 platinum>silver lapsed, to 2027-01-31",
        "2027-02-01 silver>base lapsed",
    ]


def test_hotel_counts_nights_or_points_and_rolls_nights_over() -> None:
    rows = {
        "2024-05-01": Row(visits=52, points=10_000),
        # Twelve nights above gold rolled over: eight and twenty make forty.
        "2025-01-01": Row(visits=8, points=10_000),
        "2025-08-01": Row(visits=20, points=1),
    }
    assert story(HOTEL, rows, end="2025-12-31") == [
        "2024-05-02 member>gold reached, to 2026-03-31",
        "2025-08-02 gold>gold renewed, to 2027-03-31",
    ]
    assert story(HOTEL, {"2024-05-01": Row(points=120_000)}, end="2024-06-01") == [
        "2024-05-02 member>diamond reached, to 2026-03-31"
    ]


def test_hotel_level_of_a_lifetime_does_not_end() -> None:
    rows = {f"{year}-05-01": Row(points=500_000) for year in range(2020, 2024)}
    assert story(HOTEL, rows, begin="2020-01-01", end="2027-12-31") == [
        "2020-05-02 member>diamond reached, to 2022-03-31",
        "2021-05-02 diamond>diamond renewed, to 2023-03-31",
        "2022-05-02 diamond>diamond renewed, to 2024-03-31",
        # Two million points in all: it has no end any more.
        "2023-05-02 diamond>diamond renewed",
    ]


def test_coffee_years_begin_with_the_day_of_joining() -> None:
    rows = {
        "2024-02-29": Row(points=20),
        "2025-02-27": Row(points=10),
        "2025-02-28": Row(points=6),
    }
    told = story(COFFEE, rows, begin="2024-02-29", enrol="2024-02-29", end="2027-03-10")
    assert told == [
        "2024-03-01 welcome>green reached, to 2026-02-27",
        # The year ends with 27 February 2025, so the twenty stars of its first day still count.
        "2025-02-28 green>gold reached, to 2026-02-27",
        # In the second year six stars were enough for green alone.
        "2026-02-28 gold>green lapsed, to 2027-02-27",
        "2027-02-28 green>welcome lapsed",
    ]


def test_beauty_status_lasts_through_the_next_year_and_returns_count_against_it() -> None:
    rows = {
        "2024-11-30": spend(1_000),
        "2025-04-01": spend(400),
        "2025-04-09": spend(-100),
    }
    assert story(BEAUTY, rows, end="2026-01-10") == [
        "2024-12-01 insider>rouge reached, to 2025-12-31",
        # The bar of 350 was met again in 2025; what came back later does not undo that.
        "2026-01-01 rouge>vib lapsed, to 2026-12-31",
    ]


def test_store_asks_less_of_cardholders_and_icons_have_to_be_invited() -> None:
    rows = {"2024-03-01": spend(600), "2024-07-01": spend(15_000)}
    card = Grant(GrantKind.AUDIENCE, "cardholders", day("2024-01-01"))
    invited = Grant(GrantKind.INVITATION, "icon", day("2024-09-01"), day("2026-01-01"))
    assert story(STORE, rows, end="2024-12-31") == [
        "2024-07-02 member>ambassador reached, to 2025-12-31"
    ]
    assert story(STORE, rows, end="2026-12-31", grants=[card, invited]) == [
        "2024-03-02 member>influencer reached, to 2025-12-31",
        "2024-07-02 influencer>ambassador reached, to 2025-12-31",
        "2024-09-02 ambassador>icon reached, to 2025-12-31",
        "2026-01-01 icon>member lapsed",
    ]


def test_all_of_several_measures_can_be_asked_for() -> None:
    both = Requirement(visits=4, points=100, join=Join.ALL)
    rule_set = RuleSet(
        name="both",
        tiers=(tier("base"), tier("regular", both)),
        window=RollingMonths(1),
        keeping=KeptMonths(1),
    )
    rows = {"2024-01-05": Row(visits=3, points=500), "2024-01-20": Row(visits=1)}
    assert story(rule_set, rows, end="2024-01-31") == [
        "2024-01-21 base>regular reached, to 2024-02-20"
    ]
