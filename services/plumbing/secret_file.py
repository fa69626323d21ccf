"""Files with secrets in them."""

import os
from pathlib import Path


def write_secret(path: Path, content: bytes) -> None:
    """Put a file in the place of another, all of it at once, that its owner alone can read."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    growing = path.with_name(path.name + ".new")
    growing.unlink(missing_ok=True)
    descriptor = os.open(growing, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        target.write(content)
        target.flush()
        os.fsync(target.fileno())
    growing.replace(path)
