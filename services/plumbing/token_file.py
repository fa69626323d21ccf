"""A service's own token: in a file that whoever runs the service keeps fresh."""

import time
from pathlib import Path

from services.plumbing.errors import Unavailable
from services.plumbing.grpc_client import bearer

# How long a token that was read is believed to be the one in the file.
READ_EVERY_SECONDS = 10.0


class TokenFile:
    """The token in a file, read again soon after it was written anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._metadata: tuple[tuple[str, str], ...] = ()
        self._read_again = 0.0

    def bearer(self) -> tuple[tuple[str, str], ...]:
        """The metadata that carries the token. Refuses: Unavailable TOKEN_FILE_MISSING."""
        if time.monotonic() >= self._read_again:
            try:
                self._metadata = bearer(self._path.read_text().strip())
            except OSError:
                raise Unavailable(
                    "the service has no token of its own", reason="TOKEN_FILE_MISSING"
                ) from None
            self._read_again = time.monotonic() + READ_EVERY_SECONDS
        return self._metadata
