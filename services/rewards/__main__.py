"""`python -m services.rewards`."""

import sys

from services.plumbing import importing

if sys.argv[1:] == ["worker"]:
    # Before anything else is imported, and never beside grpc.
    from services.plumbing import green

    green.patch()
    with importing.for_life():
        from services.rewards.worker import main as work

    work()
else:
    with importing.for_life():
        from services.rewards.main import main

    main(sys.argv[1:])
