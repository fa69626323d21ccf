"""Proposed adjustments. They lie outside the shards: people make few of them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from services.ledger.domain.documents import AdjustPoints
from services.ledger.domain.policy import PointKind
from services.ledger.domain.proposals import Proposal, ProposalState
from services.ledger.storage.journal import AS_MICROS
from services.ledger.storage.posting import MICROS

TIME = MICROS.format("%s")
COLUMNS = f"""
    proposal_id, wallet_id, request_id::text, body_hash::text, points, kind,
    {AS_MICROS.format("business_time")}, {AS_MICROS.format("propose_time")}, proposer, reason,
    reference, state, coalesce(decider, ''), {AS_MICROS.format("decide_time")},
    coalesce(decide_request_id::text, ''), coalesce(decide_body_hash::text, ''), note, document_id,
    failure"""


def read(row: Sequence[Any] | None) -> Proposal | None:
    if row is None:
        return None
    values = list(row)
    values[5], values[11] = PointKind(values[5]), ProposalState(values[11])
    return Proposal(*values)


def of_request(connection: Connection, wallet_id: int, request_id: str) -> Proposal | None:
    """The proposal that a request made."""
    return read(
        connection.exec_driver_sql(
            f"SELECT {COLUMNS} FROM adjustment_proposals"
            " WHERE wallet_id = %s AND request_id = %s::uuid",
            (wallet_id, request_id),
        ).one_or_none()
    )


def add(
    connection: Connection, asked: AdjustPoints, *, business_time: int | None, now: int
) -> Proposal | None:
    """Keep what is asked as a proposal; None where the same request made one meanwhile."""
    return read(
        connection.exec_driver_sql(
            f"""
            INSERT INTO adjustment_proposals (wallet_id, request_id, body_hash, points, kind,
                business_time, propose_time, proposer, reason, reference)
            VALUES (%s, %s, %s, %s, %s, {TIME}, {TIME}, %s, %s, %s)
            ON CONFLICT (wallet_id, request_id) DO NOTHING RETURNING {COLUMNS}""",
            (
                asked.wallet_id,
                asked.request_id,
                asked.body_hash,
                asked.points,
                asked.kind.value,
                business_time,
                now,
                asked.actor,
                asked.reason,
                asked.reference,
            ),
        ).one_or_none()
    )


def lock(connection: Connection, proposal_id: int) -> Proposal | None:
    """A proposal, held until the end of the transaction: of two decisions one comes first."""
    return read(
        connection.exec_driver_sql(
            f"SELECT {COLUMNS} FROM adjustment_proposals WHERE proposal_id = %s FOR UPDATE",
            (proposal_id,),
        ).one_or_none()
    )


def keep(connection: Connection, proposal: Proposal) -> None:
    """Write what became of a locked proposal."""
    connection.exec_driver_sql(
        f"""
        UPDATE adjustment_proposals SET state = %s, decider = nullif(%s, ''),
            decide_time = {TIME}, decide_request_id = nullif(%s, '')::uuid,
            decide_body_hash = nullif(%s, '')::uuid, note = %s, document_id = %s, failure = %s
        WHERE proposal_id = %s""",
        (
            proposal.state.value,
            proposal.decider,
            proposal.decide_time,
            proposal.decide_request_id,
            proposal.decide_body_hash,
            proposal.note,
            proposal.document_id,
            proposal.failure,
            proposal.proposal_id,
        ),
    )


def unapplied(connection: Connection, *, until: int, limit: int) -> list[Proposal]:
    """Proposals approved until a time that became nothing in the journal yet."""
    return _all(
        connection.exec_driver_sql(
            f"SELECT {COLUMNS} FROM adjustment_proposals"
            f" WHERE state = {ProposalState.APPROVED.value} AND document_id = 0"
            f" AND decide_time <= {TIME} ORDER BY proposal_id LIMIT %s",
            (until, limit),
        )
    )


def page(
    connection: Connection,
    *,
    state: ProposalState | None,
    proposer: str | None,
    before: int,
    limit: int,
) -> list[Proposal]:
    """Proposals of a state and of a proposer, where they are given, the newest first."""
    return _all(
        connection.exec_driver_sql(
            f"SELECT {COLUMNS} FROM adjustment_proposals WHERE proposal_id < %s"
            " AND (%s::smallint IS NULL OR state = %s) AND (%s::text IS NULL OR proposer = %s)"
            " ORDER BY proposal_id DESC LIMIT %s",
            (before, state, state, proposer, proposer, limit),
        )
    )


def _all(rows: Any) -> list[Proposal]:
    return [proposal for row in rows if (proposal := read(row)) is not None]
