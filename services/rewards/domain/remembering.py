"""Refusals as text, so that who asks again is refused in the very words of the first time."""

import json

from services.plumbing.errors import Clash, Exhausted, Forbidden, Invalid, Missing, Refused, Unmet

KINDS: dict[str, type[Refused]] = {
    kind.__name__: kind for kind in (Invalid, Forbidden, Missing, Clash, Unmet, Exhausted)
}


def remembered(refusal: Refused) -> str:
    """What recall makes the refusal of again. Refuses: TypeError for one that may pass."""
    for name, kind in KINDS.items():
        if isinstance(refusal, kind):
            return json.dumps([name, refusal.reason, refusal.message, refusal.metadata])
    raise TypeError(f"{type(refusal).__name__} is not for good")


def recall(text: str) -> Refused:
    name, reason, message, metadata = json.loads(text)
    return KINDS[name](message, reason=reason, **metadata)
