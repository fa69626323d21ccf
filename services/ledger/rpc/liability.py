"""What accountants ask: the programme's liability."""

import asyncio
from decimal import Decimal

from loyalty.ledger.v1 import earn_policy_pb2, liability_pb2, liability_pb2_grpc

from services.ledger.domain.contract_liability import (
    ContractLiability,
    contract_liability,
    difference,
    worth,
)
from services.ledger.domain.liability import Breakage, Changed, Cohort, Liability, Movement
from services.ledger.domain.point_life import Expiry, PointLife
from services.ledger.domain.runoff import month_name
from services.ledger.rpc.messages import read_day
from services.ledger.usecases.liability import Liabilities
from services.plumbing.grpc_calls import Context


class LiabilityFigures(liability_pb2_grpc.LiabilityServiceServicer):
    def __init__(self, liabilities: Liabilities) -> None:
        self._liabilities = liabilities
        # Whole tables are read: the other connections and cores are the tills'.
        self._one_at_a_time = asyncio.Lock()

    async def GetLiability(
        self,
        request: liability_pb2.GetLiabilityRequest,
        context: Context,  # noqa: ARG002
    ) -> liability_pb2.GetLiabilityResponse:
        as_of = read_day("as_of_day", request.as_of_day)
        what_if = read_life(request.what_if) if request.HasField("what_if") else None
        async with self._one_at_a_time:
            found, changed = await asyncio.to_thread(self._liabilities.at, as_of, what_if)
        value = Decimal(request.point_value_minor)
        written = write_liability(found, value)
        written.point_value_minor = request.point_value_minor
        if changed is not None:
            written.what_if.CopyFrom(write_outcome(request.what_if, found, changed, value))
        return liability_pb2.GetLiabilityResponse(liability=written)


def read_life(message: liability_pb2.WhatIf) -> PointLife:
    return PointLife(expiry=Expiry(message.expiry), expiry_count=message.expiry_count)


def write_liability(found: Liability, value: Decimal) -> liability_pb2.Liability:
    return liability_pb2.Liability(
        as_of_day=found.as_of.isoformat(),
        movement=write_movement(found.movement),
        books_points=found.account_points,
        later_points=found.later,
        ties=found.ties,
        cohorts=[write_cohort(cohort, value) for cohort in found.cohorts],
        owed_points=found.owed,
        breakage=write_breakage(found.breakage, found.ultimate_redemption_rate),
        contract_liability=write_contract_liability(contract_liability(found, value)),
    )


def write_movement(movement: Movement) -> liability_pb2.Movement:
    return liability_pb2.Movement(
        from_day=movement.from_day.isoformat(),
        opening_points=movement.opening,
        issued_points=movement.issued,
        burned_points=movement.burned,
        expired_points=movement.expired,
        adjusted_points=movement.adjusted,
        transferred_points=movement.transferred,
        closing_points=movement.closing,
    )


def write_cohort(cohort: Cohort, value: Decimal) -> liability_pb2.PointCohort:
    return liability_pb2.PointCohort(
        earn_month=month_name(cohort.earn_month),
        age_months=cohort.age_months,
        points=cohort.points,
        value_minor=worth(cohort.points, value),
        expected_redeemed_points=cohort.redeemed,
        expected_breakage_points=cohort.breakage,
    )


def write_breakage(breakage: Breakage, rate: float) -> liability_pb2.Breakage:
    return liability_pb2.Breakage(
        estimated=breakage.estimated,
        cohorts=breakage.cohorts,
        expected_points=breakage.expected,
        low_points=breakage.low,
        high_points=breakage.high,
        ultimate_redemption_rate=rate,
    )


def write_contract_liability(found: ContractLiability) -> liability_pb2.ContractLiability:
    return liability_pb2.ContractLiability(
        closing_minor=found.closing,
        opening_minor=found.opening,
        deferred_minor=found.deferred,
        recognised_minor=found.recognised,
        breakage_recognised_minor=found.breakage_recognised,
        remeasured_minor=found.remeasured,
        low_minor=found.low,
        high_minor=found.high,
        gross_minor=found.gross,
    )


def write_outcome(
    asked: liability_pb2.WhatIf, found: Liability, changed: Changed, value: Decimal
) -> liability_pb2.WhatIfOutcome:
    return liability_pb2.WhatIfOutcome(
        expiry=earn_policy_pb2.PointLife.Expiry.ValueType(asked.expiry),
        expiry_count=asked.expiry_count,
        lapsed_points=changed.lapsed,
        expected_breakage_points=changed.breakage,
        contract_liability_minor=worth(changed.redeemed, value),
        difference_minor=difference(found, changed, value),
    )
