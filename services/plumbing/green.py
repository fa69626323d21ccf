"""Makes a process green: threads, sockets and PostgreSQL's driver let others run while they wait.

Called by `python -m services.<service> worker` before it imports anything else.
"""

import warnings


def patch() -> None:
    # nameko stands on eventlet, which says at each start that it is old.
    warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
    import eventlet
    from eventlet.support import psycopg2_patcher

    eventlet.monkey_patch()
    psycopg2_patcher.make_psycopg_green()
