"""What tills and apps ask of a ledger, and what it answers, as the plain model sees it."""

from dataclasses import dataclass

from services.ledger.domain.lots import SentPart

NOW = 1_767_225_600_000_000
DAY = 86_400_000_000
# From here on a dollar gives two points, and what a return takes back may be owed.
SECOND_VERSION = NOW - 30 * DAY
REDEEMABLE, QUALIFYING = 1, 2


@dataclass(frozen=True)
class Item:
    """A line of a basket."""

    amount: int
    quantity: int
    produce: bool


@dataclass(frozen=True)
class Asked:
    """A request as the model sees it."""

    wallet: int
    request_id: str
    body: str
    time: int


@dataclass(frozen=True)
class SaleAsked(Asked):
    items: tuple[Item, ...] = ()
    currency: str = "USD"
    blocked: bool = False


@dataclass(frozen=True)
class ReturnAsked(Asked):
    # The request that recorded the sale, and line numbers with quantities (zero: all that is left).
    sale: str = ""
    lines: tuple[tuple[int, int], ...] = ()
    void: bool = False


@dataclass(frozen=True)
class AdjustAsked(Asked):
    kind: int = REDEEMABLE
    points: int = 0


@dataclass(frozen=True)
class HoldAsked(Asked):
    points: int = 0
    # Whether its life is over as soon as it begins.
    brief: bool = False


@dataclass(frozen=True)
class CaptureAsked(Asked):
    # The request that made the hold; points zero for all of them.
    hold: str = ""
    points: int = 0


@dataclass(frozen=True)
class ReleaseAsked(Asked):
    hold: str = ""


@dataclass(frozen=True)
class RefundAsked(Asked):
    # The request that captured; points zero for all that are left.
    capture: str = ""
    points: int = 0


@dataclass(frozen=True)
class SendAsked(Asked):
    points: int = 0


@dataclass(frozen=True)
class ReceiveAsked(Asked):
    # The request that sent, and what the ledger answered to it.
    send: str = ""
    parts: tuple[SentPart, ...] = ()
    # Of what comes back to the wallet that sent it: which of its documents did.
    left_at: int | None = None


AnythingAsked = (
    SaleAsked
    | ReturnAsked
    | AdjustAsked
    | HoldAsked
    | CaptureAsked
    | ReleaseAsked
    | RefundAsked
    | SendAsked
    | ReceiveAsked
)


@dataclass(frozen=True)
class Reply:
    """A refusal's reason, or what was posted: points by rule and kind, and the wallet after."""

    refusal: str = ""
    points: frozenset[tuple[str, int, int]] = frozenset()
    forgiven: int = 0
    # Available, qualifying, lifetime, held.
    balance: tuple[int, int, int, int] = (0, 0, 0, 0)


class No(Exception):  # noqa: N818 — an answer
    """The request is refused for the reason it carries."""


def check_time(time: int) -> None:
    if time > NOW:
        raise No("BUSINESS_TIME_IN_FUTURE")
    if time < NOW - 400 * DAY:
        raise No("BUSINESS_TIME_TOO_OLD")
