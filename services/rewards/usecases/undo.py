"""The way back of redemptions: before the points are captured, and after they were."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine

from services.plumbing.database import transaction
from services.plumbing.errors import Refused
from services.rewards import events
from services.rewards.domain.refusals import RedemptionNotCompleted
from services.rewards.domain.remembering import remembered
from services.rewards.domain.saga import Redemption, Step
from services.rewards.storage import pools, quotas, redemptions, vouchers


def give_up(
    database: Engine, redemption_id: UUID, refusal: Refused, *, nothing_held: bool, now: datetime
) -> Redemption:
    """Give back what it took here. One that somebody brought further is answered as it stands.

    nothing_held says that the ledger holds no points for it, so that it has come to its end.
    """
    with transaction(database) as connection:
        found = redemptions.lock(connection, [redemption_id])[redemption_id]
        if found.step not in (Step.HOLDING, Step.CAPTURING):
            return found
        quotas.give_back(connection, found.taken)
        pools.return_codes(connection, [redemption_id])
        said = remembered(refusal)
        if nothing_held:
            changed = found.to(Step.REFUSED, refusal=said, complete_time=now)
        else:
            changed = found.to(Step.RELEASING, refusal=said, taken=())
        redemptions.record(connection, [changed], now)
    return changed


def refuse(database: Engine, redemption_id: UUID, *, now: datetime) -> Redemption:
    """Note that the ledger has released the points."""
    with transaction(database) as connection:
        found = redemptions.lock(connection, [redemption_id])[redemption_id]
        if found.step is not Step.RELEASING:
            return found
        changed = found.to(Step.REFUSED, complete_time=now)
        redemptions.record(connection, [changed], now)
    return changed


def cancel(
    database: Engine, redemption_id: UUID, *, member_id: UUID, reason: str, now: datetime
) -> Redemption:
    """Revoke the voucher and give the piece back; the points are to follow.

    One that is cancelled is answered as it stands.
    Refuses: RedemptionNotFound, RedemptionNotCompleted, VoucherAlreadyRedeemed.
    """
    with transaction(database) as connection:
        redemptions.of_member(connection, member_id, redemption_id)
        found = redemptions.lock(connection, [redemption_id])[redemption_id]
        if found.step in (Step.CANCELLING, Step.CANCELLED):
            return found
        if found.step is not Step.COMPLETED:
            raise RedemptionNotCompleted
        revoked = vouchers.revoke_of_redemption(connection, redemption_id, reason=reason, now=now)
        if revoked is not None:
            events.voucher_revoked(connection, revoked, now=now)
        quotas.give_back(connection, found.taken)
        changed = found.to(Step.CANCELLING, taken=(), cancel_reason=reason)
        redemptions.record(connection, [changed], now)
    return changed


def note_refund(database: Engine, redemption_id: UUID, *, now: datetime) -> Redemption:
    """Note that the ledger has given the points back, and tell others."""
    with transaction(database) as connection:
        found = redemptions.lock(connection, [redemption_id])[redemption_id]
        if found.step is not Step.CANCELLING:
            return found
        changed = found.to(Step.CANCELLED, cancel_time=now)
        redemptions.record(connection, [changed], now)
        events.redemption_cancelled(connection, changed, now=now)
    return changed
