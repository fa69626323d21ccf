"""What the model's tills earn by."""

import uuid

from sqlalchemy import Engine

from services.ledger import events
from services.ledger.domain.policy import (
    Clawback,
    LineCondition,
    PointKind,
    Policy,
    Rule,
    Settings,
)
from services.ledger.usecases.policies import Policies
from tests.service.ledger_model_requests import NOW, SECOND_VERSION

BOTH = (PointKind.REDEEMABLE, PointKind.QUALIFYING)


def publish_two_versions(database: Engine) -> None:
    produce = Rule(
        "produce",
        "produce",
        (PointKind.REDEEMABLE,),
        points=1,
        per_minor=100,
        lines=LineCondition(categories=(("PRODUCE",),)),
    )
    versions = ((1, 0, Clawback.WITHIN_BALANCE), (2, SECOND_VERSION, Clawback.ALLOW_NEGATIVE))
    for points, effective_time, clawback in versions:
        base = Rule("base", "base", BOTH, points=points, per_minor=100)
        draft = Policy(
            0, effective_time, "USD", (base, produce), settings=Settings(clawback=clawback)
        )
        Policies(database, events.policy_published).publish(
            draft,
            request_id=str(uuid.uuid4()),
            body_hash=str(uuid.uuid4()),
            publisher="test",
            now=NOW,
        )
