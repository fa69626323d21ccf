"""The contract as it was published: `protos/published.binpb`, which no change may break.

`python -m protos.published check` compares today's protos with it; `... publish` brings it up to
date, after the same comparison. It lies in the repository, so a clone without history has it too;
where git knows main's, today's protos are compared with that one as well, so that nobody publishes
a break by rewriting the file.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

PROTOS = Path(__file__).parent
ROOT = PROTOS.parent
IMAGE = ROOT / "stubs" / "image.binpb"
PUBLISHED = PROTOS / "published.binpb"
REFS = ("origin/main", "main", "HEAD")
USAGE = "usage: python -m protos.published check|publish"


def contract(image: bytes) -> bytes:
    """What of buf's image others rely on: all but comments and places in the sources."""
    files = FileDescriptorSet.FromString(image)
    for file in files.file:
        file.ClearField("source_code_info")
    return files.SerializeToString(deterministic=True)


def published_before() -> Iterator[tuple[str, bytes]]:
    """The published contracts there are, each once, with where it is from."""
    seen = set()
    if PUBLISHED.exists():
        seen.add(PUBLISHED.read_bytes())
        yield str(PUBLISHED.relative_to(ROOT)), PUBLISHED.read_bytes()
    for ref in REFS:
        shown = subprocess.run(  # noqa: S603 — the refs are ours
            ["git", "show", f"{ref}:protos/{PUBLISHED.name}"],  # noqa: S607 — whichever git there is
            cwd=ROOT,
            capture_output=True,
            check=False,
        )
        if shown.returncode == 0 and shown.stdout not in seen:
            seen.add(shown.stdout)
            yield ref, shown.stdout


def breaks(today: bytes, before: bytes) -> str:
    """What buf finds broken; empty where nothing is."""
    with tempfile.TemporaryDirectory() as folder:
        images = []
        for name, content in (("today", today), ("before", before)):
            images.append(Path(folder) / f"{name}.binpb")
            images[-1].write_bytes(content)
        compared = subprocess.run(  # noqa: S603 — our own tool
            [
                *(str(Path(sys.executable).parent / "buf"), "breaking", str(images[0])),
                *("--against", str(images[1]), "--config", str(ROOT / "buf.yaml")),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    return "" if compared.returncode == 0 else compared.stdout + compared.stderr


def check(today: bytes) -> None:
    """Ends the process with what is broken."""
    for where, before in published_before():
        if found := breaks(today, before):
            sys.exit(f"{found}protos: this breaks the contract published in {where}")


def main(arguments: Sequence[str]) -> None:
    if list(arguments) not in (["check"], ["publish"]):
        sys.exit(USAGE)
    today = contract(IMAGE.read_bytes())
    check(today)
    if arguments[0] == "publish":
        PUBLISHED.write_bytes(today)
    elif not PUBLISHED.exists() or PUBLISHED.read_bytes() != today:
        sys.exit("protos: the contract changed; publish it: python -m protos.published publish")


if __name__ == "__main__":
    main(sys.argv[1:])
