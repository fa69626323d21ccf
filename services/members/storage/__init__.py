"""Members in PostgreSQL: rows to domain and back.

Who changes a member locks their row before writing anything else, in a statement of its own: only
statements after it see what the one who held the lock before has committed.
"""
