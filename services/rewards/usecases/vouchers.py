"""What becomes of vouchers after they were issued."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from uuid import UUID

from sqlalchemy import Connection, Engine

from services.plumbing.database import transaction
from services.rewards import events
from services.rewards.domain import codes
from services.rewards.domain import vouchers as decisions
from services.rewards.domain.refusals import (
    CodeMistyped,
    RequestIdReused,
    VoucherNotFound,
    VoucherUseNotFound,
    VoucherUseTooOld,
    VoucherUseUndone,
)
from services.rewards.domain.vouchers import Use, Voucher, VoucherState
from services.rewards.metrics import VOUCHERS_GIVEN_BACK, VOUCHERS_REDEEMED, VOUCHERS_REVOKED
from services.rewards.storage import catalogue, members, vouchers
from services.rewards.storage.vouchers import NotedUse

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
            return _as_it_was_used(voucher, earlier, fingerprint)
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


def _as_it_was_used(voucher: Voucher, use: NotedUse, fingerprint: bytes) -> tuple[Voucher, int]:
    """Refuses: RequestIdReused, VoucherUseUndone."""
    if use.fingerprint != fingerprint:
        raise RequestIdReused
    if use.undo_time is not None:
        raise VoucherUseUndone
    used = decisions.with_balance(voucher, use.balance_minor, time=use.business_time)
    return used, use.amount_minor


def undo_redemption(
    database: Engine,
    request_id: UUID,
    *,
    store: str,
    receipt_number: str,
    within: timedelta,
    now: datetime,
) -> tuple[Voucher, int]:
    """Take back the use that a request made; the voucher after that, and how much came back.

    Refuses: VoucherUseNotFound, VoucherUseTooOld, VoucherRevoked.
    """
    with transaction(database) as connection:
        use = vouchers.noted_use(connection, request_id)
        if use is None or (use.store, use.receipt_number) != (store, receipt_number):
            raise VoucherUseNotFound
        voucher = vouchers.lock_by_id(connection, use.voucher_id)
        # With the voucher locked: who asks twice at once waits for themselves.
        standing = vouchers.noted_use(connection, request_id)
        if standing is None or standing.undo_time is not None:
            return voucher, use.amount_minor
        if now > use.create_time + within:
            raise VoucherUseTooOld(use.create_time + within)
        last_use_time = vouchers.undo_use(connection, request_id, voucher.id, now)
        undone = decisions.give_back(voucher, use.amount_minor, last_use_time=last_use_time)
        vouchers.update(connection, undone)
        events.voucher_redemption_undone(
            connection,
            undone,
            amount_minor=use.amount_minor,
            store=store,
            receipt_number=receipt_number,
            now=now,
        )
    VOUCHERS_GIVEN_BACK.inc()
    return undone, use.amount_minor


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
    """The vouchers of a member and of those merged into them, newest first.

    Refuses: MemberMerged.
    """
    with transaction(database) as connection:
        return vouchers.of_members(
            connection,
            members.all_of(connection, member_id),
            before=before,
            usable_at=usable_at,
            limit=limit,
        )
