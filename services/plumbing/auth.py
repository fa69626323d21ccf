"""Who calls, and what they may do: JSON Web Tokens (RFC 7519) checked against the issuer's keys."""

import time
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import jwt

from services.plumbing.config import AuthSettings
from services.plumbing.errors import Forbidden, Unauthenticated, Unavailable

ALGORITHMS = ["ES256", "RS256", "EdDSA"]
LEEWAY_SECONDS = 5
CACHED_TOKENS_MAX = 20_000
ALL_STORES = "*"


@dataclass(frozen=True, slots=True)
class Caller:
    """The subject of a token and what it carries."""

    subject: str
    scopes: frozenset[str]
    stores: frozenset[str]
    expires: float
    # Set by the server when the narrower scope opened the method: only own resources may be seen.
    own_only: bool = False
    # What the issuer says the subject is, such as "supervisor".
    roles: frozenset[str] = frozenset()

    def may_act_for_store(self, store: str) -> bool:
        return ALL_STORES in self.stores or store in self.stores

    def require_store(self, store: str) -> None:
        """Refuses: Forbidden FOREIGN_STORE."""
        if not self.may_act_for_store(store):
            raise Forbidden("the token is for another store", reason="FOREIGN_STORE", store=store)

    def require_own(self, subject: str) -> None:
        """Refuses: Forbidden NOT_YOURS, where only the caller's own resources are open."""
        if self.own_only and subject != self.subject:
            raise Forbidden("the token opens only its subject's own", reason="NOT_YOURS")


_caller: ContextVar[Caller] = ContextVar("caller")


def current_caller() -> Caller:
    return _caller.get()


def set_caller(caller: Caller) -> None:
    _caller.set(caller)


class KeyFile:
    """The issuer's keys in a file, read again when a token names a key that is not among them."""

    def __init__(self, url: str) -> None:
        self._path = Path(unquote(urlsplit(url).path))
        self._keys: dict[str | None, jwt.PyJWK] = {}

    def get_signing_key_from_jwt(self, token: str) -> jwt.PyJWK:
        """Refuses: jwt.PyJWKClientConnectionError, jwt.PyJWKClientError."""
        key_id = jwt.get_unverified_header(token).get("kid")
        if key_id not in self._keys:
            try:
                found = jwt.PyJWKSet.from_json(self._path.read_text())
            except OSError as error:
                raise jwt.PyJWKClientConnectionError(str(error)) from None
            self._keys = {key.key_id: key for key in found.keys}
        if key_id not in self._keys:
            raise jwt.PyJWKClientError("no such key")
        return self._keys[key_id]


def key_source(url: str) -> KeyFile | jwt.PyJWKClient:
    """Where an issuer publishes its keys: a file on one machine, a web address elsewhere."""
    if url.startswith("file:"):
        return KeyFile(url)
    return jwt.PyJWKClient(url, cache_keys=True, lifespan=300, timeout=5)


class TokenVerifier:
    """Believes tokens of one issuer. Each token's signature is checked once while it lives."""

    def __init__(self, settings: AuthSettings) -> None:
        self._settings = settings
        self._keys = key_source(settings.jwks_url)
        self._known: dict[str, Caller] = {}

    def known(self, token: str) -> Caller | None:
        """The caller of a token already verified. Refuses: Unauthenticated TOKEN_EXPIRED."""
        caller = self._known.get(token)
        if caller is not None and caller.expires + LEEWAY_SECONDS < time.time():
            del self._known[token]
            raise Unauthenticated("the token has expired", reason="TOKEN_EXPIRED")
        return caller

    def verify(self, token: str) -> Caller:
        """Check a token; may fetch the issuer's keys. Refuses: Unauthenticated, Unavailable."""
        try:
            key = self._keys.get_signing_key_from_jwt(token)
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "sub", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("the token has expired", reason="TOKEN_EXPIRED") from None
        except jwt.PyJWKClientConnectionError:
            raise Unavailable("the issuer's keys cannot be read", reason="ISSUER_DOWN") from None
        except jwt.PyJWTError:
            raise Unauthenticated("the token is not valid", reason="TOKEN_INVALID") from None
        caller = Caller(
            subject=str(claims["sub"]),
            scopes=frozenset(str(claims.get("scope", "")).split()),
            stores=frozenset(map(str, claims.get("stores", ()))),
            expires=float(claims["exp"]),
            roles=frozenset(map(str, claims.get("roles", ()))),
        )
        if len(self._known) >= CACHED_TOKENS_MAX:
            self._known.clear()
        self._known[token] = caller
        return caller
