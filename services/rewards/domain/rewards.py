"""Rewards as marketing describes them: what they are, what they cost, who may have how many."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import msgspec

# More than a programme has in its catalogue; a definition never changes.
DECODED_MAX = 4_096


class Kind(enum.StrEnum):
    VOUCHER = "voucher"
    PRODUCT = "product"
    DISCOUNT = "discount"
    DONATION = "donation"
    EXPERIENCE = "experience"
    PARTNER_GIFT = "partner_gift"
    POINTS_PLUS_CASH = "points_plus_cash"


class Channel(enum.StrEnum):
    """Where a member asks for a reward."""

    APP = "app"
    TILL = "till"
    WEB = "web"


class Period(enum.StrEnum):
    """Of the calendar, in UTC; a week begins on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"
    EVER = "ever"


class _Described(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A part of a description."""


class Texts(_Described, frozen=True):
    title: str
    description: str = ""
    terms: str = ""


class Price(_Described, frozen=True):
    """For members in any of the tiers or in any of the segments."""

    points: int
    tiers: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()


class EarlyAccess(_Described, frozen=True):
    tier: str
    start_time: datetime


class MemberLimit(_Described, frozen=True):
    """So many in a period."""

    period: Period
    most: int


class VoucherDefinition(_Described, frozen=True):
    """What a voucher of a reward is. An empty pool means that we make the codes.

    It lives for so many days of 24 hours, or until a fixed time, or for ever. One with a value is
    a gift voucher.
    """

    pool: str = ""
    life_days: int | None = None
    fixed_expire_time: datetime | None = None
    value_minor: int = 0
    currency_code: str = ""
    partial_use: bool = False


class Definition(_Described, frozen=True):
    """One version of a reward. An empty list of tiers, segments, stores or channels means all.

    Texts are by language (BCP 47); points are the price where no lower one applies; the money is
    in minor units and paid besides.
    """

    kind: Kind
    texts: Mapping[str, Texts]
    default_language: str
    points: int
    picture_urls: tuple[str, ...] = ()
    prices: tuple[Price, ...] = ()
    money_minor: int = 0
    currency_code: str = ""
    start_time: datetime | None = None
    end_time: datetime | None = None
    early_access: tuple[EarlyAccess, ...] = ()
    channels: tuple[Channel, ...] = ()
    stores: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    member_limits: tuple[MemberLimit, ...] = ()
    voucher: VoucherDefinition | None = None


class StockSettings(_Described, frozen=True):
    """How many pieces there are; None, or a store that is not named, is not limited."""

    total: int | None = None
    per_day: int | None = None
    stores: Mapping[str, int] = {}


class State(enum.StrEnum):
    DRAFT = "draft"
    PUBLISHED = "published"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Version:
    """A description that never changes, and who wrote and who last published it."""

    reward_id: str
    version: int
    definition: Definition
    creator: str
    create_time: datetime
    publisher: str | None = None
    publish_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Reward:
    """A reward with its newest version; published_version is the one in force, None for none."""

    reward_id: str
    state: State
    revision: int
    latest: Version
    published_version: int | None
    stock: StockSettings

    @property
    def etag(self) -> str:
        return f"r{self.revision}"


@dataclass(frozen=True, slots=True)
class Offer:
    """A version that is in force, or was until its end_time, and the stock of its reward."""

    reward_id: str
    version: int
    definition: Definition
    stock: StockSettings
    end_time: datetime | None = None


def encode(described: Definition | StockSettings) -> str:
    """JSON; the same for the same description, in every process."""
    return msgspec.json.encode(described, order="deterministic").decode()


@lru_cache(DECODED_MAX)
def decode_definition(text: str) -> Definition:
    return msgspec.json.decode(text, type=Definition)


@lru_cache(DECODED_MAX)
def decode_stock(text: str) -> StockSettings:
    return msgspec.json.decode(text, type=StockSettings)
