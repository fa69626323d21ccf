"""Vouchers that a till without a network can tell from forgeries."""

import hashlib
import json
import stat
from datetime import timedelta
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.rewards.signing import ALGORITHM, Signer, SigningKeysInvalid, open_signer
from tests.unit.rewards_described import NOON, gift_voucher, voucher

CODE = "7KM4P-3ACDE"
# Whether a voucher has expired is the till's to look at here, not the library's.
OPTIONS: jwt.types.Options = {"verify_exp": False, "verify_iat": False}


def till_reads(token: str, signer: Signer) -> dict[str, object]:
    """As a till does that knows public keys alone."""
    keys = {key.key_id: Ed25519PublicKey.from_public_bytes(key.public_bytes) for key in signer.keys}
    known = keys[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, object] = jwt.decode(token, known, algorithms=[ALGORITHM], options=OPTIONS)
    return claims


def test_token_says_what_a_till_needs_and_not_the_code(tmp_path: Path) -> None:
    signer = open_signer(tmp_path / "keys.json")
    held = gift_voucher(code=CODE, expire_time=NOON + timedelta(days=1))
    token = signer.token(held)
    assert till_reads(token, signer) == {
        "jti": str(held.id),
        "iat": int(NOON.timestamp()),
        "exp": int(NOON.timestamp()) + 86_400,
        "reward": "rewards/coffee",
        "version": 1,
        "code_sha256": hashlib.sha256(b"7KM4P3ACDE").hexdigest(),
        "value_minor": 1000,
        "currency_code": "CHF",
    }
    assert token == signer.token(held)


def test_forged_token_is_not_believed(tmp_path: Path) -> None:
    signer, forger = open_signer(tmp_path / "keys.json"), open_signer(tmp_path / "forged.json")
    header, claims, _ = signer.token(voucher()).split(".")
    _, _, signature = forger.token(voucher()).split(".")
    with pytest.raises(jwt.InvalidSignatureError):
        till_reads(f"{header}.{claims}.{signature}", signer)


def test_keys_are_made_once_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "made" / "keys.json"
    made = open_signer(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert open_signer(path).keys[0].public_bytes == made.keys[0].public_bytes


def test_newer_key_signs_and_older_ones_stay_believed(tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    earlier = open_signer(old).token(voucher())
    open_signer(new)
    both = tmp_path / "both.json"
    keys = [json.loads(path.read_text())["keys"][0] for path in (new, old)]
    both.write_text(json.dumps({"keys": keys}))
    rotated = open_signer(both)
    later = rotated.token(voucher())
    assert jwt.get_unverified_header(later)["kid"] == keys[0]["kid"]
    assert till_reads(earlier, rotated) == till_reads(later, rotated)


@pytest.mark.parametrize("content", ["", "{}", '{"keys": []}', '{"keys": [{"kid": "a"}]}'])
def test_file_that_holds_no_keys_ends_the_start(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(SigningKeysInvalid, match=r"^signing keys: .*keys\.json"):
        open_signer(path)
    assert path.read_text() == content
