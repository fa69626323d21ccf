"""`python -m services.tiering`."""

import sys

from services.plumbing import importing

match sys.argv[1:]:
    case ["worker"]:
        # Before anything else is imported, and never beside grpc.
        from services.plumbing import green

        green.patch()
        with importing.for_life():
            from services.tiering.worker import main as work

        work()
    case ["preview", preview_id]:
        with importing.for_life():
            from services.tiering.preview_process import main as preview

        preview(preview_id)
    case arguments:
        with importing.for_life():
            from services.tiering.main import main

        main(arguments)
