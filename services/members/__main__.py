"""`python -m services.members`."""

import sys

from services.members.main import main

main(sys.argv[1:])
