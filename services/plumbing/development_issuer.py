"""An issuer of tokens for one machine: a key made at first use, and its public half as a key set.

In production an OpenID Connect issuer takes its place; the claims are the same.
"""

import base64
import hashlib
import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from services.plumbing.secret_file import write_secret

ALGORITHM = "ES256"
ISSUER = "urn:development-issuer"


@dataclass(frozen=True, slots=True)
class DevelopmentIssuer:
    """Signs tokens with the key of a directory."""

    directory: Path
    audience: str
    key: ec.EllipticCurvePrivateKey
    key_id: str
    issuer: str = ISSUER

    @property
    def jwks_url(self) -> str:
        return (self.directory / "jwks.json").as_uri()

    def mint(
        self,
        subject: str,
        scopes: Sequence[str],
        stores: Sequence[str],
        lifetime_seconds: int,
        *,
        roles: Sequence[str] = (),
    ) -> str:
        """A token for a subject. stores are ids of stores, or "*" for all."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": subject,
            "iat": now,
            "exp": now + lifetime_seconds,
            "jti": str(uuid.uuid4()),
            "scope": " ".join(scopes),
            "stores": list(stores),
            "roles": list(roles),
        }
        return jwt.encode(claims, self.key, algorithm=ALGORITHM, headers={"kid": self.key_id})


def open_issuer(directory: Path, *, audience: str) -> DevelopmentIssuer:
    """The issuer of a directory; makes its key on the first call, in one process at a time."""
    directory = directory.resolve()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    private = directory / "private.pem"
    if not private.exists():
        write_secret(private, _encoded(ec.generate_private_key(ec.SECP256R1())))
    issuer = _read(directory, audience)
    public = ECAlgorithm.to_jwk(issuer.key.public_key(), as_dict=True)
    key = {**public, "kid": issuer.key_id, "use": "sig", "alg": ALGORITHM}
    write_secret(directory / "jwks.json", json.dumps({"keys": [key]}, indent=2).encode())
    return issuer


def existing_issuer(directory: Path, *, audience: str) -> DevelopmentIssuer | None:
    """The issuer of a directory; None where none was made yet."""
    directory = directory.resolve()
    return _read(directory, audience) if (directory / "private.pem").exists() else None


def _read(directory: Path, audience: str) -> DevelopmentIssuer:
    path = directory / "private.pem"
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path} does not hold an elliptic curve key")
    return DevelopmentIssuer(directory, audience, key, _thumbprint(key.public_key()))


def _encoded(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _thumbprint(key: ec.EllipticCurvePublicKey) -> str:
    """A name for the key that follows from it, by RFC 7638."""
    public = ECAlgorithm.to_jwk(key, as_dict=True)
    required = {name: public[name] for name in ("crv", "kty", "x", "y")}
    canonical = json.dumps(required, sort_keys=True, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()
