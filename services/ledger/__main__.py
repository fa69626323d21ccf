"""`python -m services.ledger`."""

import sys

if sys.argv[1:] == ["worker"]:
    # Before anything else is imported, and never beside grpc.
    from services.plumbing import green

    green.patch()
    from services.ledger.worker import main as work

    work()
else:
    from services.ledger.main import main

    main(sys.argv[1:])
