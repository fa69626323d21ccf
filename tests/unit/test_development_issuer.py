import json
import stat
import time
from pathlib import Path

import jwt
import pytest

from services.plumbing.auth import TokenVerifier
from services.plumbing.config import AuthSettings
from services.plumbing.development_issuer import (
    DevelopmentIssuer,
    existing_issuer,
    open_issuer,
)
from services.plumbing.errors import Unauthenticated


def verifier(issuer: DevelopmentIssuer) -> TokenVerifier:
    return TokenVerifier(
        AuthSettings(jwks_url=issuer.jwks_url, issuer=issuer.issuer, audience=issuer.audience)
    )


def test_token_is_believed_with_its_subject_scopes_and_stores(tmp_path: Path) -> None:
    issuer = open_issuer(tmp_path / "issuer", audience="shop")
    token = issuer.mint("terminals/31/4", ["sales.write", "wallets.read"], ["31"], 60)
    caller = verifier(issuer).verify(token)
    assert caller.subject == "terminals/31/4"
    assert caller.scopes == {"sales.write", "wallets.read"}
    assert caller.stores == {"31"}
    assert caller.expires == pytest.approx(time.time() + 60, abs=5)


def test_token_carries_what_its_subject_is(tmp_path: Path) -> None:
    issuer = open_issuer(tmp_path / "issuer", audience="shop")
    supervisor = issuer.mint("care/ada", [], [], 60, roles=["care", "supervisor"])
    assert verifier(issuer).verify(supervisor).roles == {"care", "supervisor"}
    assert verifier(issuer).verify(issuer.mint("care/bo", [], [], 60)).roles == set()


def test_key_is_made_once_and_stays(tmp_path: Path) -> None:
    first = open_issuer(tmp_path, audience="shop")
    token = first.mint("somebody", [], [], 60)
    again = open_issuer(tmp_path, audience="shop")
    assert again.key_id == first.key_id
    assert verifier(again).verify(token).subject == "somebody"


def test_private_key_is_its_owners_alone_and_the_key_set_has_only_the_public_half(
    tmp_path: Path,
) -> None:
    issuer = open_issuer(tmp_path / "issuer", audience="shop")
    assert stat.S_IMODE((tmp_path / "issuer" / "private.pem").stat().st_mode) == 0o600
    [key] = json.loads((tmp_path / "issuer" / "jwks.json").read_text())["keys"]
    assert sorted(key) == ["alg", "crv", "kid", "kty", "use", "x", "y"]
    assert key["kid"] == issuer.key_id


def test_token_of_another_issuer_is_not_believed(tmp_path: Path) -> None:
    ours = open_issuer(tmp_path / "ours", audience="shop")
    theirs = open_issuer(tmp_path / "theirs", audience="shop")
    with pytest.raises(Unauthenticated):
        verifier(ours).verify(theirs.mint("somebody", [], ["*"], 60))


def test_token_ends_after_its_lifetime(tmp_path: Path) -> None:
    issuer = open_issuer(tmp_path, audience="shop")
    claims = jwt.decode(issuer.mint("a", [], [], 90), options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 90


def test_no_issuer_exists_before_it_is_opened(tmp_path: Path) -> None:
    assert existing_issuer(tmp_path / "issuer", audience="shop") is None
    assert not (tmp_path / "issuer").exists()
