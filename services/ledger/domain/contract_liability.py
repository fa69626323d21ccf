"""What IFRS 15 makes of outstanding points, in minor units. Pure.

Points are a material right (B39-B40). The value v of a point is what the allocation of the
transaction price gives to each point that is expected to be spent (74, B42: the stand-alone selling
price reflects the likelihood of exercise; IE267-IE270 work an example). With u, the ultimate
redemption rate:

    contract liability = v * outstanding points expected to be spent
    deferred           = v * u * points given in the month
    recognised         = v * points burned in the month

The last is the rule of the example: allocated price * spent / total expected to be spent. Each
point's own price being u * v, the share 1 - u of what is recognised is breakage, in proportion to
the pattern of rights exercised (B46). Where members do otherwise than expected, the liability is
measured anew and the difference is recognised in the month (IE270).
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from services.ledger.domain.liability import Changed, Liability


@dataclass(frozen=True, slots=True)
class ContractLiability:
    """opening + deferred - recognised + remeasured = closing, to the minor unit. low and high are
    closing at the ends of the interval of breakage; gross as if every point would be spent.
    """

    closing: int
    opening: int
    deferred: int
    recognised: int
    breakage_recognised: int
    remeasured: int
    low: int
    high: int
    gross: int


def worth(points: int, point_value: Decimal) -> int:
    """Points in minor units, half up."""
    return int((points * point_value).quantize(Decimal(1), ROUND_HALF_UP))


def contract_liability(liability: Liability, point_value: Decimal) -> ContractLiability:
    """The month's roll-forward of a liability."""
    movement, breakage = liability.movement, liability.breakage
    rate = liability.ultimate_redemption_rate
    given = movement.issued + movement.adjusted + movement.transferred
    burned = -movement.burned
    closing = worth(liability.redeemed, point_value)
    opening = worth(liability.opening_redeemed, point_value)
    deferred = worth(round(rate * given), point_value)
    recognised = worth(burned, point_value)
    return ContractLiability(
        closing=closing,
        opening=opening,
        deferred=deferred,
        recognised=recognised,
        breakage_recognised=worth(burned - round(rate * burned), point_value),
        remeasured=closing - opening - deferred + recognised,
        low=worth(liability.outstanding - breakage.high, point_value),
        high=worth(liability.outstanding - breakage.low, point_value),
        gross=worth(liability.outstanding, point_value),
    )


def difference(liability: Liability, changed: Changed, point_value: Decimal) -> int:
    """By how much another expiry would change the contract liability; below zero for less."""
    return worth(changed.redeemed, point_value) - worth(liability.redeemed, point_value)
