import sys

from services.ledger.main import main

main(sys.argv[1:])
