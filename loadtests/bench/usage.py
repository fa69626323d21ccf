"""Who used the processor while something was measured."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

# Beside the names that are watched: who else took processor time, here and on the same hardware.
OTHERS, STOLEN = "others", "stolen"


@dataclass(frozen=True, slots=True)
class Sample:
    """Processor seconds up to a time of the monotonic clock."""

    time: float
    seconds: Mapping[str, float]
    machine_seconds: float
    # What other machines on the same hardware took.
    stolen_seconds: float


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor seconds between two samples: by name, by anybody else on the machine, and by other
    machines on the same hardware.
    """

    wall_seconds: float
    seconds: Mapping[str, float]
    others_seconds: float
    stolen_seconds: float

    def core_share(self, name: str) -> float:
        """The part of all cores' time that a name took, from 0 to 1."""
        return self._share(self.seconds[name])

    @property
    def others_core_share(self) -> float:
        return self._share(self.others_seconds)

    @property
    def stolen_core_share(self) -> float:
        return self._share(self.stolen_seconds)

    def core_shares(self) -> dict[str, float]:
        """Of all names, the others, and what was stolen."""
        shares = {name: self.core_share(name) for name in self.seconds}
        return shares | {OTHERS: self.others_core_share, STOLEN: self.stolen_core_share}

    def _share(self, seconds: float) -> float:
        return seconds / (self.wall_seconds * (psutil.cpu_count() or 1))


class Meter:
    """Watches process trees by name; each name has the ids of the roots of its trees."""

    def __init__(self, trees: Mapping[str, Sequence[int]]) -> None:
        self._trees = {
            name: [psutil.Process(pid) for pid in process_ids]
            for name, process_ids in trees.items()
        }

    def sample(self) -> Sample:
        machine = psutil.cpu_times()
        return Sample(
            time=time.monotonic(),
            seconds={
                name: sum(_tree_seconds(root) for root in roots)
                for name, roots in self._trees.items()
            },
            machine_seconds=sum(machine)
            - machine.idle
            - machine.iowait
            - machine.guest
            - machine.guest_nice
            - machine.steal,
            stolen_seconds=machine.steal,
        )


def between(start: Sample, end: Sample) -> Usage:
    seconds = {name: end.seconds[name] - start.seconds[name] for name in start.seconds}
    return Usage(
        wall_seconds=end.time - start.time,
        seconds=seconds,
        others_seconds=end.machine_seconds - start.machine_seconds - sum(seconds.values()),
        stolen_seconds=end.stolen_seconds - start.stolen_seconds,
    )


def _tree_seconds(root: psutil.Process) -> float:
    """Of a process and its children, those that ended included."""
    own = root.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for child in root.children(recursive=True):
        try:
            spent = child.cpu_times()
        except psutil.NoSuchProcess:
            # It ended just now; its parent has its time.
            continue
        total += spent.user + spent.system
    return total
