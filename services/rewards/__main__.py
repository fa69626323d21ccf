"""`python -m services.rewards`."""

import sys

if sys.argv[1:] == ["worker"]:
    # Before anything else is imported, and never beside grpc.
    from services.plumbing import green

    green.patch()
    from services.rewards.worker import main as work

    work()
else:
    from services.rewards.main import main

    main(sys.argv[1:])
