"""A wallet and its lots: what credits, holds, burns, clawbacks and the night do to them."""

import itertools
from collections.abc import Iterable, Sequence

import msgspec

from services.ledger.domain.documents import Balance
from services.ledger.domain.lots import (
    Forgiven,
    Hold,
    Lot,
    LotId,
    LotPart,
    LotUse,
    first_points,
)
from services.ledger.domain.point_life import (
    FOREVER,
    MICROS_PER_DAY,
    BurnOrder,
    Term,
    inactive_until,
    lives_until,
)
from services.ledger.domain.refusals import InsufficientPoints, MemberBlocked

# The ordinal of what a wallet owed and repaid out of points that no entry gave.
REPAID = 0


class WalletState(msgspec.Struct):
    """A wallet as one batch sees it, changed by each of its documents in turn.

    What the lots still hold = available + pending + held + what was taken beyond the lots
    (overdrawn). overdrawn is zero while any lot has free points that are not pending. lots is
    complete only where a command of the batch draws on them.
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
    held: int = 0
    # Days since 1970 when its member last did something and when they enrolled, if ever.
    active_day: int | None = None
    enrol_day: int | None = None
    # Whether its member spends nothing for now.
    spending_blocked: bool = False
    lots: dict[LotId, Lot] = {}
    # Lots that changed, to be written.
    touched: set[LotId] = set()
    holds: dict[int, Hold] = {}
    # What expired of lots and was not put back; known where a command takes back what they gave.
    expired: dict[LotId, int] = {}
    # What lots repaid of a debt, and what was undone of it (below zero); known where expired is.
    repaid: tuple[LotPart, ...] = ()
    # When lots of another member's points would expire but for activity; known where it is undone.
    received_until: tuple[tuple[LotId, int], ...] = ()
    # Holds that were made or changed, to be written.
    touched_holds: set[int] = set()
    # What returns forgave, in their order, known where a command gives points back; and of which
    # of them it changed, to be written.
    forgiven: tuple[Forgiven, ...] = ()
    touched_forgiven: frozenset[int] = frozenset()

    @property
    def balance(self) -> Balance:
        return Balance(self.available, self.pending, self.qualifying, self.lifetime, self.held)

    def next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence

    def require_spending(self) -> None:
        """Refuses: MemberBlocked."""
        if self.spending_blocked:
            raise MemberBlocked("the member is blocked and spends nothing")

    def note_activity(self, business_time: int) -> None:
        """The member did something at a business time: lots may live on with it."""
        day = business_time // MICROS_PER_DAY
        if self.active_day is None or day > self.active_day:
            self.active_day = day

    def forget_activity(self, business_time: int, active_day: int | None) -> None:
        """What the member did at a business time was undone; without it they were active last on
        active_day. Lots live on no longer than with that.
        """
        if self.active_day != business_time // MICROS_PER_DAY:
            return
        self.active_day = active_day
        received_until = dict(self.received_until)
        for lot in list(self.lots.values()):
            months, stated = lot.term.inactive_months, lot.term.expire_time
            if not months or stated is None:
                continue
            first = received_until.get(lot.id) or inactive_until(lot.earn_time, months)
            until = lives_until(first, months, active_day)
            if until < stated:
                term = msgspec.structs.replace(lot.term, expire_time=until)
                self._put(msgspec.structs.replace(lot, term=term))

    def credit(
        self, lot_id: LotId, points: int, *, earn_time: int, term: Term = FOREVER
    ) -> tuple[Lot, list[LotUse]]:
        """Open a lot, pending where its term says so. What the wallet owes from before is repaid
        out of it first, unless it is pending.
        """
        self.lifetime += points
        if term.available_time is not None:
            self.pending += points
            lot = Lot(*lot_id, points, points, earn_time, term, pending=True)
            self.lots[lot_id] = lot
            return lot, []
        self.available += points
        repaid = min(points, self.overdrawn) if self.overdrawn else 0
        lot = Lot(*lot_id, points, points - repaid, earn_time, term)
        self.lots[lot_id] = lot
        if not repaid:
            return lot, []
        self.overdrawn -= repaid
        self.repaid += (LotPart(lot_id, repaid),)
        return lot, [LotUse(lot_id[1], lot_id, repaid)]

    def open_lot(self, lot_id: LotId, points: int, *, earn_time: int, term: Term) -> Lot:
        """Open a lot of points that were earned before, for those that are given back."""
        lot = Lot(*lot_id, points, points, earn_time, term)
        self.lots[lot_id] = lot
        self.available += points
        return lot

    def spendable(self, business_time: int, order: BurnOrder) -> list[Lot]:
        """Lots with points that can be spent at a time, in the order they are."""
        usable = [
            lot
            for lot in self.lots.values()
            if lot.free and not lot.pending and not self.is_over(lot, business_time)
        ]
        return self.in_burn_order(usable, order)

    def is_over(self, lot: Lot, business_time: int) -> bool:
        """Whether a lot's time is over at a time."""
        expire_time = self.expire_time(lot)
        return expire_time is not None and expire_time <= business_time

    def expire_time(self, lot: Lot) -> int | None:
        """When a lot expires, as things stand: activity prolongs some."""
        term = lot.term
        if term.expire_time is None:
            return None
        return lives_until(term.expire_time, term.inactive_months, self.active_day)

    def in_burn_order(
        self, lots: Iterable[Lot], order: BurnOrder = BurnOrder.SOONEST_EXPIRY
    ) -> list[Lot]:
        """Lots that expire, soonest first, then those that never do, the older first among equals;
        or the oldest first.
        """
        if order is BurnOrder.OLDEST:
            return sorted(lots, key=lambda lot: (lot.earn_time, lot.id))
        return sorted(lots, key=self._soonest_expiry)

    def _soonest_expiry(self, lot: Lot) -> tuple[bool, int, int, LotId]:
        expire_time = self.expire_time(lot)
        return expire_time is None, expire_time or 0, lot.earn_time, lot.id

    def burn(
        self, ordinal: int, points: int, *, business_time: int, order: BurnOrder
    ) -> list[LotUse]:
        """Spend points. Refuses: InsufficientPoints."""
        lots = self.spendable(business_time, order)
        require(points, available=sum(lot.free for lot in lots))
        uses, _ = self._draw(ordinal, points, lots)
        return uses

    def hold(self, points: int, *, business_time: int, order: BurnOrder) -> tuple[LotPart, ...]:
        """Set points aside; answers of which lots. Refuses: InsufficientPoints."""
        lots = self.spendable(business_time, order)
        require(points, available=sum(lot.free for lot in lots))
        parts = tuple(first_points([LotPart(lot.id, lot.free) for lot in lots], points))
        for part in parts:
            lot = self.lots[part.lot]
            self._put(msgspec.structs.replace(lot, held=lot.held + part.points))
        self.available -= points
        self.held += points
        return parts

    def unhold(self, parts: Iterable[LotPart]) -> None:
        """Make points that were set aside available again."""
        for part in parts:
            lot = self.lots[part.lot]
            self._put(msgspec.structs.replace(lot, held=lot.held - part.points))
            self.held -= part.points
            self.available += part.points

    def take(self, ordinal: int, parts: Iterable[LotPart]) -> list[LotUse]:
        """Spend points of these very lots."""
        uses: list[LotUse] = []
        for part in parts:
            uses += self._draw(ordinal, part.points, [self.lots[part.lot]])[0]
        return uses

    def keep_hold(self, hold: Hold) -> None:
        self.holds[hold.hold_id] = hold
        self.touched_holds.add(hold.hold_id)

    def keep_forgiven(self, forgiven: Forgiven) -> None:
        others = (each for each in self.forgiven if each.return_id != forgiven.return_id)
        self.forgiven = tuple(sorted((*others, forgiven), key=lambda each: each.sequence))
        self.touched_forgiven |= {forgiven.return_id}

    def make_good(self, ordinal: int, points: int, lots: Iterable[LotId]) -> list[LotUse]:
        """Take back of lots what a return could not."""
        uses, _ = self._draw(ordinal, points, [self.lots[lot_id] for lot_id in lots])
        self.lifetime -= points
        return uses

    def give_back(self, ordinal: int, parts: Iterable[LotPart]) -> list[LotUse]:
        """Put burned points back into the lots they came from."""
        uses = []
        for part in parts:
            lot = self.lots[part.lot]
            self._put(msgspec.structs.replace(lot, remaining=lot.remaining + part.points))
            if lot.pending:
                self.pending += part.points
            else:
                self.available += part.points
            uses.append(LotUse(ordinal, lot.id, -part.points))
        return uses

    def claw_back(
        self,
        ordinal: int,
        points: int,
        *,
        own: Sequence[LotId],
        into_negative: bool = False,
        pending_only: bool = False,
    ) -> tuple[list[LotUse], int]:
        """Take back points a sale had earned, so that the wallet stands as if it had never been.

        Takes what is left of the sale's own lots, pending or not; what these had repaid of a debt
        is owed again. For what was spent of them it takes the lots that the spending would have
        taken instead; with into_negative the wallet owes that, and these lots repay it. With
        pending_only nothing but pending lots of its own. Returns the uses and the points forgiven.
        """
        uses: list[LotUse] = []
        if not pending_only:
            uses = self._undo_repayment(points, own)
        ordered = [self.lots[lot_id] for lot_id in own if lot_id in self.lots]
        if pending_only:
            ordered = [lot for lot in ordered if lot.pending]
        elif not into_negative:
            others = [
                lot for lot in self.lots.values() if not lot.pending and lot.id not in set(own)
            ]
            ordered += self.in_burn_order(others)
        drawn, missing = self._draw(ordinal, points, ordered)
        forgiven = 0 if into_negative else missing
        self.overdrawn += missing - forgiven
        self.available -= missing - forgiven
        self.lifetime -= points - forgiven
        return uses + drawn + self.repay(), forgiven

    def _undo_repayment(self, points: int, own: Sequence[LotId]) -> list[LotUse]:
        """Put back into lots what they repaid of a debt, as far as they miss it to give so many
        points: the wallet owes it again.
        """
        missing = points - sum(self.lots[lot_id].free for lot_id in own if lot_id in self.lots)
        repaid = dict.fromkeys(own, 0)
        for part in self.repaid:
            if part.lot in repaid:
                repaid[part.lot] += part.points
        parts = first_points(itertools.starmap(LotPart, repaid.items()), max(missing, 0))
        for part in parts:
            self.repaid += (LotPart(part.lot, -part.points),)
            self.overdrawn += part.points
            self.available -= part.points
        return self.give_back(REPAID, parts)

    def activate(self, business_time: int) -> tuple[list[LotPart], list[LotUse]]:
        """Make pending lots available whose time has come. Returns them, and what of them repaid
        a debt.
        """
        activated = []
        for lot in list(self.lots.values()):
            available_time = lot.term.available_time
            if lot.pending and available_time is not None and available_time <= business_time:
                self._put(msgspec.structs.replace(lot, pending=False))
                self.pending -= lot.remaining
                self.available += lot.remaining
                activated.append(LotPart(lot.id, lot.remaining))
        return activated, self.repay()

    def expire(self, ordinal: int, business_time: int) -> tuple[list[LotUse], int]:
        """Take what no hold keeps of lots whose time is over. Those that activity prolonged are
        given their new time. Returns the uses and the points.
        """
        due = []
        for lot in self.in_burn_order(self.lots.values()):
            stated = lot.term.expire_time
            if stated is None or stated > business_time or not lot.free:
                continue
            if self.is_over(lot, business_time):
                due.append(lot)
            else:
                term = msgspec.structs.replace(lot.term, expire_time=self.expire_time(lot))
                self._put(msgspec.structs.replace(lot, term=term))
        points = sum(lot.free for lot in due)
        uses, _ = self._draw(ordinal, points, due)
        for use in uses:
            self.expired[use.lot] = self.expired.get(use.lot, 0) + use.points
        return uses, points

    def undo_expiry(self, ordinal: int, points: int, own: Sequence[LotId]) -> list[LotUse]:
        """Put expired points back into lots, as many as these miss to give so many. What a sale
        gave and what expired of it are both undone with it; nothing else is taken for them.
        """
        missing = points - sum(self.lots[lot_id].free for lot_id in own)
        expired = [LotPart(lot_id, self.expired.get(lot_id, 0)) for lot_id in own]
        parts = first_points(expired, max(missing, 0))
        for part in parts:
            self.expired[part.lot] -= part.points
        return self.give_back(ordinal, parts)

    def repay(self) -> list[LotUse]:
        """Repay what the wallet owes out of what has become free; nothing is available twice."""
        if not self.overdrawn:
            return []
        lots = [lot for lot in self.lots.values() if lot.free and not lot.pending]
        owed = min(self.overdrawn, sum(lot.free for lot in lots))
        before = self.available
        uses, _ = self._draw(REPAID, owed, self.in_burn_order(lots))
        # The debt had been deducted from what is available already.
        self.available = before
        self.overdrawn -= owed
        self.repaid += tuple(LotPart(use.lot, use.points) for use in uses)
        return uses

    def _draw(self, ordinal: int, points: int, lots: Iterable[Lot]) -> tuple[list[LotUse], int]:
        """Take points from lots in the order given. Returns the uses and what they did not hold."""
        parts = first_points([LotPart(lot.id, lot.free) for lot in lots], points)
        for part in parts:
            lot = self.lots[part.lot]
            self._put(msgspec.structs.replace(lot, remaining=lot.remaining - part.points))
            if lot.pending:
                self.pending -= part.points
            else:
                self.available -= part.points
        uses = [LotUse(ordinal, part.lot, part.points) for part in parts]
        return uses, points - sum(part.points for part in parts)

    def _put(self, lot: Lot) -> None:
        self.lots[lot.id] = lot
        self.touched.add(lot.id)


def require(points: int, *, available: int) -> None:
    """Refuses: InsufficientPoints."""
    if points > available:
        raise InsufficientPoints(
            f"{points} points wanted, {available} available",
            wanted=str(points),
            available=str(available),
        )
