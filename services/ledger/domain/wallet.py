"""A wallet and its lots: what credits, burns and clawbacks do to them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from services.ledger.domain.documents import Balance, Lot, LotId, LotUse
from services.ledger.domain.refusals import InsufficientPoints


@dataclass(slots=True)
class WalletState:
    """A wallet as one batch sees it, changed by each of its documents in turn.

    Redeemable balance = what the lots still hold - what was taken beyond them (overdrawn);
    overdrawn is zero while any
    lot holds something. lots is complete only where a command of the batch draws on them.
    """

    wallet_id: int
    available: int = 0
    pending: int = 0
    qualifying: int = 0
    lifetime: int = 0
    overdrawn: int = 0
    # How many documents were posted to it.
    sequence: int = 0
    # Whether the member's tiers are kept for it.
    tiered: bool = False
    lots: dict[LotId, Lot] = field(default_factory=dict)
    # Lots whose remaining points changed, to be written.
    touched: set[LotId] = field(default_factory=set)

    @property
    def balance(self) -> Balance:
        return Balance(self.available, self.pending, self.qualifying, self.lifetime)

    def next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence

    def credit(
        self, lot_id: LotId, points: int, *, earn_time: int, expire_time: int | None = None
    ) -> tuple[Lot, list[LotUse]]:
        """Open a lot of available points. What the wallet owes from before is repaid out of
        it first.
        """
        repaid = min(points, self.overdrawn)
        self.overdrawn -= repaid
        self.available += points
        self.lifetime += points
        lot = Lot(*lot_id, points, points - repaid, earn_time, expire_time)
        self.lots[lot_id] = lot
        return lot, [LotUse(lot_id[1], lot_id, repaid)] if repaid else []

    def burn(self, ordinal: int, points: int) -> list[LotUse]:
        """Spend points, from the lots that expire soonest. Refuses: InsufficientPoints."""
        if points > self.available:
            raise InsufficientPoints(
                f"{points} points wanted, {max(self.available, 0)} available",
                wanted=str(points),
                available=str(self.available),
            )
        uses, _ = self._draw(ordinal, points, soonest_expiry_first(self.lots.values()))
        self.available -= points
        return uses

    def claw_back(
        self, ordinal: int, points: int, *, own: Sequence[LotId], into_negative: bool
    ) -> tuple[list[LotUse], int]:
        """Take back points a sale had earned, so that the wallet stands as if it had never been.

        Takes what is left of the sale's own lots, then, for what was spent of them, the
        lots that the spending would have
        taken instead; then, with into_negative, the wallet owes the rest. Returns the uses
        and the points forgiven.
        """
        ordered = [self.lots[lot_id] for lot_id in own if lot_id in self.lots]
        ordered += [
            lot for lot in soonest_expiry_first(self.lots.values()) if lot.id not in set(own)
        ]
        uses, missing = self._draw(ordinal, points, ordered)
        forgiven = 0 if into_negative else missing
        self.overdrawn += missing - forgiven
        self.available -= points - forgiven
        self.lifetime -= points - forgiven
        return uses, forgiven

    def _draw(self, ordinal: int, points: int, lots: Iterable[Lot]) -> tuple[list[LotUse], int]:
        """Take points from lots in the order given. Returns the uses and what they did not hold."""
        uses = []
        missing = points
        for lot in lots:
            taken = min(lot.remaining, missing)
            if taken:
                self.lots[lot.id] = Lot(
                    lot.document_id,
                    lot.ordinal,
                    lot.points,
                    lot.remaining - taken,
                    lot.earn_time,
                    lot.expire_time,
                )
                self.touched.add(lot.id)
                uses.append(LotUse(ordinal, lot.id, taken))
                missing -= taken
        return uses, missing


def soonest_expiry_first(lots: Iterable[Lot]) -> list[Lot]:
    """Lots that expire, soonest first; then those that never do; the older first among equals."""
    return sorted(
        lots,
        key=lambda lot: (lot.expire_time is None, lot.expire_time or 0, lot.earn_time, lot.id),
    )
