"""What a load came to, written by Locust's process and judged by the one that started it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Requests:
    """The calls of one name. Times are milliseconds."""

    name: str
    count: int
    failures: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Failure:
    """An unexpected refusal: what was called, the reason, and how often."""

    name: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that was called, and what went wrong."""

    requests: Sequence[Requests]
    failures: Sequence[Failure]

    @property
    def is_good(self) -> bool:
        """Whether there was load at all, and no unexpected failure."""
        return any(request.count for request in self.requests) and not self.failures

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=2))

    @classmethod
    def load(cls, path: Path) -> "Outcome":
        content = json.loads(path.read_text())
        return cls(
            requests=[Requests(**request) for request in content["requests"]],
            failures=[Failure(**failure) for failure in content["failures"]],
        )
