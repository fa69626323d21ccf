"""Vouchers and their uses."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection

from services.plumbing.database import array, text_array
from services.plumbing.prepared import Session, Statement, connection_of
from services.rewards.domain import codes, vouchers
from services.rewards.domain.refusals import VoucherNotFound
from services.rewards.domain.rewards import VoucherDefinition
from services.rewards.domain.vouchers import Use, Voucher, VoucherState
from services.rewards.storage import pools

COLUMNS = (
    "voucher_id, code, member_id, reward_id, version, redemption_id, issue_time, expire_time,"
    " value_minor, balance_minor, currency_code, partial_use, state, redeem_time, revoke_time,"
    " revoke_reason"
)

ADD = Statement(
    "add_vouchers",
    "uuid[], text[], text[], uuid[], text[], integer[], uuid[], timestamptz[], timestamptz[],"
    " bigint[], bigint[], text[], boolean[]",
    "INSERT INTO vouchers (voucher_id, code_key, code, member_id, reward_id, version,"
    " redemption_id, issue_time, expire_time, value_minor, balance_minor, currency_code,"
    " partial_use)"
    " SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
    " ON CONFLICT (redemption_id) DO NOTHING RETURNING voucher_id",
)

USABLE = "state = 'issued' AND (expire_time IS NULL OR expire_time > %s)"


@dataclass(frozen=True, slots=True)
class Issue:
    """A voucher to issue for a redemption; one of a pool has taken its code before."""

    redemption_id: UUID
    member_id: UUID
    reward_id: str
    version: int
    voucher: VoucherDefinition


@dataclass(frozen=True, slots=True)
class NotedUse:
    """A use of a voucher as it stands on record; balance_minor is what it left."""

    fingerprint: bytes
    voucher_id: UUID
    amount_minor: int
    balance_minor: int
    store: str
    receipt_number: str
    business_time: datetime
    create_time: datetime
    # When it was taken back, if it was.
    undo_time: datetime | None


USE_COLUMNS = tuple(field.name for field in fields(NotedUse))


def issue(session: Session, issues: Sequence[Issue], now: datetime) -> dict[UUID, Voucher]:
    """Issue vouchers, one a redemption; one that was issued stays as it is. By redemption.

    Refuses: LookupError where the code of a pool was not taken.
    """
    pooled = [wanted.redemption_id for wanted in issues if wanted.voucher.pool]
    taken = pools.codes_of(connection_of(session), pooled) if pooled else {}
    made = [
        _voucher(wanted, taken[wanted.redemption_id] if wanted.voucher.pool else "", now)
        for wanted in issues
    ]
    added = _add(session, made)
    issued = {voucher.redemption_id: voucher for voucher in made if voucher.id in added}
    earlier = [each.redemption_id for each in issues if each.redemption_id not in issued]
    return issued | of_redemptions(connection_of(session), earlier) if earlier else issued


def _voucher(wanted: Issue, code: str, now: datetime) -> Voucher:
    defined = wanted.voucher
    return Voucher(
        id=uuid4(),
        code=code or codes.generate(),
        member_id=wanted.member_id,
        reward_id=wanted.reward_id,
        version=wanted.version,
        redemption_id=wanted.redemption_id,
        issue_time=now,
        expire_time=vouchers.expire_time(defined, now),
        value_minor=defined.value_minor,
        balance_minor=defined.value_minor,
        currency_code=defined.currency_code,
        partial_use=defined.partial_use,
    )


def _add(session: Session, made: Sequence[Voucher]) -> set[UUID]:
    """The ids of those that were added; the redemptions of the others have one."""
    if not made:
        return set()
    # By redemption: who issues the same again must not deadlock.
    made = sorted(made, key=lambda voucher: voucher.redemption_id)
    rows = ADD.run(
        session,
        array(voucher.id for voucher in made),
        text_array(codes.normalised(voucher.code) for voucher in made),
        text_array(voucher.code for voucher in made),
        array(voucher.member_id for voucher in made),
        text_array(voucher.reward_id for voucher in made),
        array(voucher.version for voucher in made),
        array(voucher.redemption_id for voucher in made),
        text_array(voucher.issue_time.isoformat() for voucher in made),
        text_array(_text(voucher.expire_time) for voucher in made),
        array(voucher.value_minor for voucher in made),
        array(voucher.balance_minor for voucher in made),
        text_array(voucher.currency_code for voucher in made),
        array(voucher.partial_use for voucher in made),
    )
    return {row[0] for row in rows}


def _text(time: datetime | None) -> str | None:
    return time.isoformat() if time is not None else None


def of_redemptions(connection: Connection, redemption_ids: Sequence[UUID]) -> dict[UUID, Voucher]:
    """The vouchers that redemptions became, by redemption."""
    found = _vouchers(connection, "WHERE redemption_id = ANY(%s::uuid[])", (array(redemption_ids),))
    return {voucher.redemption_id: voucher for voucher in found}


def revoke_of_redemption(
    connection: Connection, redemption_id: UUID, *, reason: str, now: datetime
) -> Voucher | None:
    """Revoke what a redemption became; None where that was no voucher.

    Refuses: VoucherAlreadyRedeemed, where it was used, or a part of its value.
    """
    found = _vouchers(
        connection, "WHERE redemption_id = %s::uuid FOR UPDATE", (str(redemption_id),)
    )
    if not found:
        return None
    revoked = vouchers.revoke(found[0], reason=reason, now=now, unused_only=True)
    update(connection, revoked)
    return revoked


def read(connection: Connection, member_id: UUID, voucher_id: UUID) -> Voucher:
    """Refuses: VoucherNotFound."""
    return _one(
        connection,
        "WHERE voucher_id = %s::uuid AND member_id = %s::uuid",
        (str(voucher_id), str(member_id)),
    )


def lock(connection: Connection, member_id: UUID, voucher_id: UUID) -> Voucher:
    """A voucher nobody else changes until the transaction ends. Refuses: VoucherNotFound."""
    return _one(
        connection,
        "WHERE voucher_id = %s::uuid AND member_id = %s::uuid FOR UPDATE",
        (str(voucher_id), str(member_id)),
    )


def lock_by_id(connection: Connection, voucher_id: UUID) -> Voucher:
    """As `lock`, whosever it is. Refuses: VoucherNotFound."""
    return _one(connection, "WHERE voucher_id = %s::uuid FOR UPDATE", (str(voucher_id),))


def lock_by_code(connection: Connection, code_key: str) -> Voucher:
    """As `lock`, by the normalised code. Refuses: VoucherNotFound."""
    return _one(connection, "WHERE code_key = %s FOR UPDATE", (code_key,))


def lock_usable(connection: Connection, member_id: UUID, now: datetime) -> list[Voucher]:
    """A member's vouchers that can be used; nobody else changes them until the transaction ends."""
    return _vouchers(
        connection,
        f"WHERE member_id = %s::uuid AND {USABLE} ORDER BY voucher_id FOR UPDATE",
        (str(member_id), now),
    )


def forget_words(connection: Connection, member_id: UUID) -> None:
    """Forget why a member's vouchers were revoked: people wrote of a person there."""
    connection.exec_driver_sql(
        "UPDATE vouchers SET revoke_reason = '' WHERE member_id = %s::uuid AND revoke_reason <> ''",
        (str(member_id),),
    )


def of_members(
    connection: Connection,
    member_ids: Sequence[UUID],
    *,
    before: tuple[datetime, UUID] | None,
    usable_at: datetime | None,
    limit: int,
) -> list[Voucher]:
    """Vouchers of any of them, newest first; only those usable at a time, if one is given."""
    conditions = ["member_id = ANY(%s::uuid[])"]
    values: list[object] = [array(member_ids)]
    if before is not None:
        conditions.append("(issue_time, voucher_id) < (%s, %s::uuid)")
        values += [before[0], str(before[1])]
    if usable_at is not None:
        conditions.append(USABLE)
        values.append(usable_at)
    return _vouchers(
        connection,
        f"WHERE {' AND '.join(conditions)} ORDER BY issue_time DESC, voucher_id DESC LIMIT %s",
        (*values, limit),
    )


def update(connection: Connection, voucher: Voucher) -> None:
    """Write what may change."""
    connection.exec_driver_sql(
        "UPDATE vouchers SET balance_minor = %s, state = %s, redeem_time = %s, revoke_time = %s,"
        " revoke_reason = %s WHERE voucher_id = %s::uuid",
        (
            voucher.balance_minor,
            voucher.kept_state.value,
            voucher.redeem_time,
            voucher.revoke_time,
            voucher.revoke_reason,
            str(voucher.id),
        ),
    )


def add_use(
    connection: Connection,
    voucher: Voucher,
    use: Use,
    *,
    request_id: UUID,
    fingerprint: bytes,
    amount_minor: int,
    now: datetime,
) -> bool:
    """Note a use that left the voucher as it is given; False where the request made another."""
    noted = connection.exec_driver_sql(
        "INSERT INTO voucher_uses (request_id, fingerprint, voucher_id, amount_minor,"
        " balance_minor, store, terminal, receipt_number, business_time, create_time)"
        " VALUES (%s::uuid, %s, %s::uuid, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (
            str(request_id),
            fingerprint,
            str(voucher.id),
            amount_minor,
            voucher.balance_minor,
            use.store,
            use.terminal,
            use.receipt_number,
            use.business_time,
            now,
        ),
    )
    return bool(noted.rowcount)


def noted_use(connection: Connection, request_id: UUID) -> NotedUse | None:
    """The use that a request made."""
    row = connection.exec_driver_sql(
        f"SELECT {', '.join(USE_COLUMNS)} FROM voucher_uses WHERE request_id = %s::uuid",
        (str(request_id),),
    ).one_or_none()
    return NotedUse(bytes(row[0]), *row[1:]) if row else None


def undo_use(
    connection: Connection, request_id: UUID, voucher_id: UUID, now: datetime
) -> datetime | None:
    """Note that a use is taken back; says when the voucher was last used but for it, if it was."""
    connection.exec_driver_sql(
        "UPDATE voucher_uses SET undo_time = %s WHERE request_id = %s::uuid",
        (now, str(request_id)),
    )
    found: datetime | None = connection.exec_driver_sql(
        "SELECT max(business_time) FROM voucher_uses"
        " WHERE voucher_id = %s::uuid AND undo_time IS NULL",
        (str(voucher_id),),
    ).scalar_one()
    return found


def _one(connection: Connection, clauses: str, values: tuple[object, ...]) -> Voucher:
    found = _vouchers(connection, clauses, values)
    if not found:
        raise VoucherNotFound
    return found[0]


def _vouchers(connection: Connection, clauses: str, values: tuple[object, ...]) -> list[Voucher]:
    rows = connection.exec_driver_sql(f"SELECT {COLUMNS} FROM vouchers {clauses}", values)
    return [_read(row) for row in rows]


def _read(row: Any) -> Voucher:
    values = list(row)
    values[12] = VoucherState(values[12])
    return Voucher(*values)
