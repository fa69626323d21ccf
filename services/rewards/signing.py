"""Signatures on vouchers, so that a till without a network can tell one from a forgery.

A token is a JSON Web Token (RFC 7519) signed with Ed25519 (EdDSA, RFC 8037). It holds the hash of
the voucher's code and not the code, for the till reads that from what the member shows.
"""

import base64
import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from services.rewards.domain.codes import normalised
from services.rewards.domain.vouchers import Voucher

ALGORITHM = "EdDSA"


class SigningKeysInvalid(SystemExit):
    """Ends the process: without its keys a server must not answer."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    key_id: str
    private: Ed25519PrivateKey

    @property
    def public_bytes(self) -> bytes:
        return self.private.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw
        )


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs with the first of its keys; what the others signed earlier stays valid."""

    keys: Sequence[SigningKey]

    def token(self, voucher: Voucher) -> str:
        """The token of a voucher, the same whenever it is asked for."""
        claims: dict[str, object] = {
            "jti": str(voucher.id),
            "iat": int(voucher.issue_time.timestamp()),
            "reward": f"rewards/{voucher.reward_id}",
            "version": voucher.version,
            "code_sha256": hashlib.sha256(normalised(voucher.code).encode()).hexdigest(),
        }
        if voucher.expire_time is not None:
            claims["exp"] = int(voucher.expire_time.timestamp())
        if voucher.value_minor:
            claims["value_minor"] = voucher.value_minor
            claims["currency_code"] = voucher.currency_code
        key = self.keys[0]
        return jwt.encode(claims, key.private, algorithm=ALGORITHM, headers={"kid": key.key_id})


def open_signer(path: Path) -> Signer:
    """The signer of a file of keys, which is made where there is none.

    Refuses: SigningKeysInvalid, where it cannot be read or holds no such keys.
    """
    try:
        if not path.exists():
            _make(path)
        content = json.loads(path.read_text())
        keys = [_key(each) for each in content["keys"]]
    except (OSError, ValueError, KeyError, TypeError, jwt.PyJWTError) as error:
        kind = type(error).__name__
        raise SigningKeysInvalid(f"signing keys: {path} cannot be used ({kind})") from None
    if not keys:
        raise SigningKeysInvalid(f"signing keys: {path} has none")
    return Signer(keys)


def _key(parts: dict[str, str]) -> SigningKey:
    private = OKPAlgorithm.from_jwk(parts)
    if not isinstance(private, Ed25519PrivateKey):
        raise ValueError(ALGORITHM)
    return SigningKey(parts["kid"], private)


def _make(path: Path) -> None:
    """Write a new key; where another server is quicker, its file stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    private = Ed25519PrivateKey.generate()
    parts = OKPAlgorithm.to_jwk(private, as_dict=True)
    made = {**parts, "kid": _thumbprint(parts), "use": "sig", "alg": ALGORITHM}
    with NamedTemporaryFile(mode="w", dir=path.parent) as growing:
        json.dump({"keys": [made]}, growing)
        growing.flush()
        os.fsync(growing.fileno())
        with suppress(FileExistsError):
            os.link(growing.name, path)


def _thumbprint(parts: dict[str, str]) -> str:
    """A name for the key that follows from it, by RFC 7638."""
    required = {name: parts[name] for name in ("crv", "kty", "x")}
    canonical = json.dumps(required, sort_keys=True, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()
