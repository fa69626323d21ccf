"""What is left to the garbage collector: objects that hold each other."""

import gc
from collections.abc import Awaitable, Callable


async def left_to_the_collector(call: Callable[[], Awaitable[object]]) -> set[str]:
    """The types of our objects, and whether frames are among them, that a call leaves behind in
    cycles. What the first calls learn stays.
    """
    for _ in range(3):
        await call()
    gc.collect()
    gc.disable()
    try:
        await call()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        return {name for each in gc.garbage if _is_ours(name := _name(each))}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def _is_ours(name: str) -> bool:
    return name.startswith(("services.", "loyalty.")) or name == "builtins.frame"


def _name(found: object) -> str:
    return f"{type(found).__module__}.{type(found).__qualname__}"
