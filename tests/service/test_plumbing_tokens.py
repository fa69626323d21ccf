"""Which tokens a server believes."""

from pathlib import Path

import grpc
import pytest

from services.plumbing.grpc_client import bearer
from tests.service import answering
from tests.service.answering import ASKED, Serving, at_once
from tests.service.refusals import refused
from tests.service.tokens import Tokens

SCOPE = "members.read"


async def test_call_without_a_token_is_refused(serving: Serving) -> None:
    server = await serving(at_once)
    refusal = await refused(server.stub.GetMember(ASKED))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_MISSING")


async def test_tokens_that_are_not_believed_are_refused(
    serving: Serving, tokens: Tokens, tmp_path: Path
) -> None:
    server = await serving(at_once)
    header, payload, signature = tokens.mint(SCOPE).split(".")
    strangers = Tokens(tmp_path / "stranger")
    for token in (
        "nonsense",
        f"{header}.{payload}.{signature[:-8]}AAAAAAAA",
        f"{header}.{payload}.",
        strangers.mint(SCOPE),
    ):
        refusal = await refused(server.stub.GetMember(ASKED, metadata=bearer(token)))
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.UNAUTHENTICATED,
            "TOKEN_INVALID",
        )


async def test_expired_token_is_refused_at_first_and_after_it_was_believed(
    serving: Serving, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serving(at_once)
    expired = bearer(tokens.mint(SCOPE, lifetime_seconds=-60))
    assert (await refused(server.stub.GetMember(ASKED, metadata=expired))).reason == "TOKEN_EXPIRED"
    token = bearer(tokens.mint(SCOPE, lifetime_seconds=60))
    await server.stub.GetMember(ASKED, metadata=token)
    monkeypatch.setattr("services.plumbing.auth.LEEWAY_SECONDS", -120)
    refusal = await refused(server.stub.GetMember(ASKED, metadata=token))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED")


async def test_token_of_another_audience_or_issuer_is_refused(tokens: Tokens) -> None:
    for changed in ({"audience": "others"}, {"issuer": "urn:other"}):
        settings = tokens.settings.model_copy(update=changed)
        server = await answering.start(at_once, settings)
        try:
            call = server.stub.GetMember(ASKED, metadata=tokens.bearer(SCOPE))
            assert (await refused(call)).reason == "TOKEN_INVALID"
        finally:
            await server.stop()


async def test_issuer_that_is_away_is_unavailable_not_unauthenticated(
    tokens: Tokens, tmp_path: Path
) -> None:
    away = tokens.settings.model_copy(update={"jwks_url": (tmp_path / "none.json").as_uri()})
    server = await answering.start(at_once, away)
    try:
        call = server.stub.GetMember(ASKED, metadata=tokens.bearer(SCOPE))
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "ISSUER_DOWN")
    finally:
        await server.stop()
