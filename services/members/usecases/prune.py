"""Rows that have done what they were for."""

from datetime import datetime

from sqlalchemy import Engine

from services.members.storage import requests
from services.plumbing.database import transaction


def prune(database: Engine, *, before: datetime, limit: int) -> int:
    """Forget some of the requests noted before a time; says how many."""
    with transaction(database) as connection:
        return requests.forget(connection, before, limit=limit)
