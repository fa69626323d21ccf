"""Reading through more rows than fit into memory, in one transaction."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from services.ledger.domain.documents import Account, Entry
from services.ledger.domain.policy import PointKind

ROWS_PER_FETCH = 2_000

# The entries of each document as one text, which is far cheaper than a row each.
ENTRIES_BY_DOCUMENT = """
    SELECT document_id, json_agg(json_build_array(
               ordinal, kind, account, points, rule, policy_version, lines, basis)
           ORDER BY ordinal)::text AS entries
    FROM {schema}.entries GROUP BY document_id"""

_Fields = tuple[int, PointKind, Account, int, str, int, tuple[int, ...], int]
_fields_from_json = msgspec.json.Decoder(list[_Fields]).decode


def stream(connection: Connection, statement: str) -> Iterator[Sequence[Any]]:
    """The rows of a statement, fetched as they are needed."""
    return iter(
        connection.exec_driver_sql(statement, execution_options={"yield_per": ROWS_PER_FETCH})
    )


def read_entries(text: str | None) -> list[Entry]:
    """Entries out of ENTRIES_BY_DOCUMENT; a document may have none."""
    return [Entry(*fields) for fields in _fields_from_json(text)] if text else []
