"""The proof after a fault: what tills were told is what the ledger's tables say, exactly once."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from services.cli.audit import run_audit
from services.ledger.storage.shards import schema
from tests.faults.programme import SHARDS, connect
from tests.faults.tills import points_of

REDEEMABLE, QUALIFYING = "POINT_KIND_REDEEMABLE", "POINT_KIND_QUALIFYING"
KINDS = {1: REDEEMABLE, 2: QUALIFYING}


@dataclass(frozen=True, slots=True, order=True)
class Effect:
    """What one request did: points by rule and kind, and how the wallet stood afterwards."""

    request_id: str
    wallet: int
    document: int
    points: tuple[tuple[str, str, int], ...]
    available: int
    qualifying: int

    def sum_of(self, kind: str) -> int:
        return sum(points for _, of_kind, points in self.points if of_kind == kind)


Answer = pos.RecordSaleResponse | pos.RecordReturnResponse


def told(request_id: str, answer: Answer) -> Effect:
    """What a till was told."""
    sale = isinstance(answer, pos.RecordSaleResponse)
    # A field named as a keyword of the language can be read by name only.
    name: str = answer.sale if sale else getattr(answer, "return")
    _, wallet, _, document = name.split("/")
    return Effect(
        request_id,
        int(wallet),
        int(document),
        tuple(sorted((p.rule, pos.PointKind.Name(p.kind), p.points) for p in answer.points)),
        answer.balance.available,
        answer.balance.qualifying,
    )


def rows(url: str, query: str, card_tokens: Iterable[str]) -> list[tuple[Any, ...]]:
    """The rows of a query about some cards, of all shards."""
    connection = connect(url)
    try:
        with connection.cursor() as cursor:
            found: list[tuple[Any, ...]] = []
            for shard in range(SHARDS):
                cursor.execute(query.format(schema=schema(shard)), (sorted(set(card_tokens)),))
                found += cursor.fetchall()
    finally:
        connection.close()
    return found


def recorded(url: str, card_tokens: Iterable[str]) -> list[Effect]:
    """What the tables say of everything that was posted for some cards."""
    found = rows(
        url,
        """
        SELECT j.request_id::text, j.wallet_id, j.document_id, j.available, j.qualifying,
               array_agg(e.rule) FILTER (WHERE e.rule IS NOT NULL),
               array_agg(e.kind::int) FILTER (WHERE e.rule IS NOT NULL),
               array_agg(e.points) FILTER (WHERE e.rule IS NOT NULL)
        FROM {schema}.journal j JOIN cards c USING (wallet_id)
        LEFT JOIN {schema}.entries e USING (document_id)
        WHERE c.card_token = ANY(%s) AND j.refusal IS NULL
        GROUP BY j.document_id""",
        card_tokens,
    )
    effects = []
    for request_id, wallet, document, available, qualifying, *entries in found:
        rules, kinds, points = (of_entries or [] for of_entries in entries)
        named = sorted(zip(rules, [KINDS[kind] for kind in kinds], points, strict=True))
        effects.append(Effect(request_id, wallet, document, tuple(named), available, qualifying))
    return sorted(effects)


def prove_exactly_once(
    url: str,
    requests: Sequence[pos.RecordSaleRequest],
    answers: Mapping[str, pos.RecordSaleResponse],
    returns: Mapping[str, pos.RecordReturnResponse] | None = None,
) -> None:
    """Every sale was answered; each stands in the ledger once, as it was told, and nothing else."""
    assert set(answers) == {request.request_id for request in requests}
    card_tokens = [request.sale.card_token for request in requests]
    answered: list[tuple[str, Answer]] = [*answers.items(), *(returns or {}).items()]
    expected = sorted(told(request_id, answer) for request_id, answer in answered)
    assert recorded(url, card_tokens) == expected
    for request in requests:
        effect = told(request.request_id, answers[request.request_id])
        earned = points_of(request)
        assert (effect.sum_of(REDEEMABLE), effect.sum_of(QUALIFYING)) == (earned, earned)
    balances: Counter[int] = Counter()
    for effect in expected:
        balances[effect.wallet] += effect.sum_of(REDEEMABLE)
    query = """
        SELECT wallet_id, available FROM {schema}.wallets JOIN cards USING (wallet_id)
        WHERE card_token = ANY(%s)"""
    assert dict(rows(url, query, card_tokens)) == dict(balances)
    report = run_audit(url)
    assert report.ok, [check for check in report.checks if check.problem_count]
