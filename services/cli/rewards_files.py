"""Files of the rewards server in a data directory: its token for the ledger, and its keys."""

from pathlib import Path

SERVICE = "rewards"
LEDGER_SCOPES = ("points.hold", "wallets.read")
# It is written anew at every start of the server.
TOKEN_LIFETIME_SECONDS = 366 * 86_400


def environment(data_dir: Path, ledger_address: str) -> dict[str, str]:
    """What tells the server where they are, and where the ledger answers."""
    return {
        "REWARDS_LEDGER_ADDRESS": ledger_address,
        "REWARDS_LEDGER_TOKEN_FILE": str(token_file(data_dir)),
        "REWARDS_SIGNING_KEYS_FILE": str(data_dir / SERVICE / "signing-keys.json"),
    }


def token_file(data_dir: Path) -> Path:
    return data_dir / SERVICE / "ledger-token"
