"""Whose cards are swiped: members enrolled for the occasion, and a few whose card was blocked."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from services.cli.run_file import RunningPlatform
from services.cli.service_table import AUDIENCE
from services.plumbing.development_issuer import DevelopmentIssuer, open_issuer

FILE = "customers.json"


@dataclass(frozen=True, slots=True)
class Customers:
    """Members by name, those of them in families, and the few whom only care agents touch.

    All their cards earn; the blocked ones are refused.
    """

    members: tuple[str, ...]
    families: tuple[tuple[str, ...], ...]
    reserved: tuple[str, ...]
    cards: tuple[str, ...]
    blocked_cards: tuple[str, ...]

    def save(self, data_dir: Path) -> None:
        (data_dir / FILE).write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, data_dir: Path) -> "Customers":
        content = json.loads((data_dir / FILE).read_text())
        families = tuple(tuple(family) for family in content.pop("families"))
        return cls(families=families, **{name: tuple(values) for name, values in content.items()})


def issuer_of(platform: RunningPlatform) -> DevelopmentIssuer:
    return open_issuer(platform.data_dir / "issuer", audience=AUDIENCE)
