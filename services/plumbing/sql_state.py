"""What PostgreSQL calls an error, whichever driver met it."""


def sql_state(error: object) -> str | None:
    """The code of an error of SQLAlchemy's; None where PostgreSQL gave none.

    See https://www.postgresql.org/docs/current/errcodes-appendix.html
    """
    cause = getattr(error, "orig", None)
    # psycopg and psycopg2 have each their word for it.
    return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
