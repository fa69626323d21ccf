"""How use cases tell others what they did, without knowing the words of the contract."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from sqlalchemy import Connection

from services.tiering.storage.days import Change
from services.tiering.storage.rule_sets import Version


class Announcer(Protocol):
    """Each tells when the connection's transaction commits."""

    def tiers_changed(
        self,
        connection: Connection,
        version: Version,
        changes: Sequence[Change],
        member_ids: Mapping[int, UUID],
        *,
        effective_micros: int,
        now: datetime,
    ) -> None: ...

    def rule_set_published(
        self, connection: Connection, version: Version, now: datetime
    ) -> None: ...
