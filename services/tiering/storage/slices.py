"""The parts of the membership that are read, computed and written one after the other."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

from services.tiering.domain.columns import Int32s

# As the migrations made the tables; for good.
SLICES = 32
# One or many.
Numbers = TypeVar("Numbers", int, Int32s)


def slice_of(numbers: Numbers) -> Numbers:
    return numbers % SLICES


def in_parts(numbers: Int32s, *, most: int) -> Iterator[Int32s]:
    """Members in parts of at most so many, each sorted, so that memory is bounded."""
    ordered = numbers[np.lexsort((numbers, slice_of(numbers)))]
    for start in range(0, len(ordered), most):
        yield np.sort(ordered[start : start + most])


def numbers_of(rows: Sequence[int]) -> Int32s:
    return np.unique(np.asarray(rows, np.int32))
