"""What becomes of vouchers after they were issued."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from uuid import UUID

from sqlalchemy import Connection, Engine

from services.plumbing.database import transaction
from services.rewards import events
from services.rewards.domain import codes
from services.rewards.domain import vouchers as decisions
from services.rewards.domain.refusals import CodeMistyped, RequestIdReused, VoucherNotFound
from services.rewards.domain.vouchers import Use, Voucher, VoucherState
from services.rewards.metrics import VOUCHERS_REDEEMED, VOUCHERS_REVOKED
from services.rewards.storage import catalogue, vouchers

FINGERPRINT_BYTES = 16


def redeem_voucher(
    database: Engine, code: str, use: Use, *, request_id: UUID, asked: bytes, now: datetime
) -> tuple[Voucher, int]:
    """The voucher after the use, and how much of its value was taken.

    asked is what the request says but its id. Refuses: RequestIdReused, CodeMistyped,
    VoucherNotFound, and what domain.vouchers.use refuses.
    """
    fingerprint = blake2b(asked, digest_size=FINGERPRINT_BYTES).digest()
    with transaction(database) as connection:
        voucher = _by_code(connection, codes.normalised(code))
        # With the voucher locked: who asks twice at once waits for themselves.
        earlier = vouchers.noted_use(connection, request_id)
        if earlier is not None:
            if earlier[0] != fingerprint:
                raise RequestIdReused
            return earlier[1], earlier[2]
        version = catalogue.read_version(connection, voucher.reward_id, voucher.version)
        used, amount = decisions.use(voucher, use, stores=version.definition.stores)
        vouchers.update(connection, used)
        if not vouchers.add_use(
            connection,
            used,
            use,
            request_id=request_id,
            fingerprint=fingerprint,
            amount_minor=amount,
            now=now,
        ):
            # Of another voucher, at the same time.
            raise RequestIdReused
        events.voucher_redeemed(connection, used, use, amount, now=now)
    VOUCHERS_REDEEMED.inc()
    return used, amount


def _by_code(connection: Connection, key: str) -> Voucher:
    """Refuses: CodeMistyped, VoucherNotFound."""
    try:
        return vouchers.lock_by_code(connection, key)
    except VoucherNotFound:
        if codes.is_mistyped(key):
            raise CodeMistyped from None
        raise


def revoke_voucher(
    database: Engine, member_id: UUID, voucher_id: UUID, *, reason: str, now: datetime
) -> Voucher:
    """Refuses: VoucherNotFound, VoucherAlreadyRedeemed."""
    with transaction(database) as connection:
        voucher = vouchers.lock(connection, member_id, voucher_id)
        revoked = decisions.revoke(voucher, reason=reason, now=now)
        if voucher.kept_state is VoucherState.REVOKED:
            return revoked
        vouchers.update(connection, revoked)
        events.voucher_revoked(connection, revoked, now=now)
    VOUCHERS_REVOKED.inc()
    return revoked


def get_voucher(database: Engine, member_id: UUID, voucher_id: UUID) -> Voucher:
    """Refuses: VoucherNotFound."""
    with transaction(database) as connection:
        return vouchers.read(connection, member_id, voucher_id)


def list_vouchers(
    database: Engine,
    member_id: UUID,
    *,
    before: tuple[datetime, UUID] | None,
    usable_at: datetime | None,
    limit: int,
) -> Sequence[Voucher]:
    """A member's vouchers, newest first."""
    with transaction(database) as connection:
        return vouchers.of_member(
            connection, member_id, before=before, usable_at=usable_at, limit=limit
        )
