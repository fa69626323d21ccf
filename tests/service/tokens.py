"""Tokens for callers of servers under test."""

from collections.abc import Sequence
from pathlib import Path

from services.plumbing.config import AuthSettings
from services.plumbing.development_issuer import open_issuer
from services.plumbing.grpc_client import bearer

AUDIENCE = "loyalty"
LIFETIME_SECONDS = 3600

Metadata = tuple[tuple[str, str], ...]


class Tokens:
    """An issuer's tokens, and the settings of a server that believes them."""

    def __init__(self, directory: Path) -> None:
        self._issuer = open_issuer(directory, audience=AUDIENCE)
        self.settings = AuthSettings(
            jwks_url=self._issuer.jwks_url, issuer=self._issuer.issuer, audience=AUDIENCE
        )

    def mint(
        self,
        *scopes: str,
        subject: str = "tester",
        stores: Sequence[str] = ("*",),
        lifetime_seconds: int = LIFETIME_SECONDS,
        roles: Sequence[str] = (),
    ) -> str:
        """A token; one with a negative lifetime has expired."""
        return self._issuer.mint(subject, scopes, stores, lifetime_seconds, roles=roles)

    def bearer(
        self,
        *scopes: str,
        subject: str = "tester",
        stores: Sequence[str] = ("*",),
        roles: Sequence[str] = (),
    ) -> Metadata:
        """The metadata of a call that carries a token."""
        return bearer(self.mint(*scopes, subject=subject, stores=stores, roles=roles))
