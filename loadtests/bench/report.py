"""The report: bench.json, and the table that says what was met."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from rich.table import Table

from loadtests.bench.crew import CHANNELS_PER_PROCESS, PROCESSES
from loadtests.bench.found import Found, Turn, median
from loadtests.bench.keys import KEYS, Contestant, Key
from loadtests.bench.plan import BULK_IN_FLIGHT, REDEEM_IN_FLIGHT, UNARY_IN_FLIGHT, Plan
from loadtests.bench.previewing import MEBIBYTE, MEMBERS
from loadtests.bench.subject import DATABASE, GENERATORS, SERVER
from loadtests.bench.usage import OTHERS, STOLEN

CPU_INFO = Path("/proc/cpuinfo")
NOISE_CORE_SHARE_MIN = 0.10
PREVIEW_MEMORY_BYTES_MAX = 2 * 1024 * MEBIBYTE


def values_of(found: Found) -> dict[str, float | None]:
    """Every key's value; None for what was not measured."""
    medians = found.medians()
    replay = found.replay
    return {
        "echo_unary_per_s": medians.get(Contestant.ECHO),
        "sale_unary_per_s": medians.get(Contestant.SALE),
        "unary_ratio": _ratio(medians, Contestant.SALE, Contestant.ECHO),
        "bulk_sales_per_s": medians.get(Contestant.BULK),
        "naive_hot_per_s": medians.get(Contestant.NAIVE),
        "bulk_over_naive": _ratio(medians, Contestant.BULK, Contestant.NAIVE),
        "idle_p50_ratio": _ratio(medians, Contestant.IDLE_SALE, Contestant.IDLE_ECHO),
        "growth_ratio": found.growth_ratio,
        "replay_seconds": float(str(replay["replay_seconds"])) if replay else None,
        "events_lag_p99_s": found.lag.p99_seconds if found.lag else None,
        "event_entries_per_s": found.catch_up.entries_per_second if found.catch_up else None,
        "preview_1m_seconds": found.preview.seconds_of_a_million if found.preview else None,
        "preview_unary_share": found.beside.share if found.beside else None,
        "redeem_per_s": found.redeemed.redemptions_per_second if found.redeemed else None,
        "redeem_p99_ratio": found.redeemed.p99_ratio if found.redeemed else None,
        "night_10m_lots_s": found.night.seconds_of_ten_million if found.night else None,
        "night_unary_share": found.night.share if found.night else None,
    }


def document(
    found: Found, *, plan: Plan, names: Sequence[str], settings: Mapping[str, str]
) -> dict[str, Any]:
    """What bench.json holds: the keys first, then what a reader needs to judge them."""
    values = values_of(found)
    asked = [key for key in KEYS if key.name in names]
    return {
        **{key.name: _rounded(key, values[key.name]) for key in asked},
        "generator_core_share": _shares(found.turns, GENERATORS),
        "targets": {key.name: _target(key, values[key.name]) for key in asked if key.target},
        "contestants": {str(name): _turns(turns) for name, turns in found.turns.items()},
        "growth": {
            "empty": _turns(found.empty) | {"sales_before": found.sales_when_empty},
            "grown": _turns(found.grown) | {"sales_before": found.sales_when_grown},
        }
        if found.grown
        else None,
        "replay": found.replay,
        "lag": asdict(found.lag) if found.lag else None,
        "catch_up": asdict(found.catch_up) if found.catch_up else None,
        "preview": asdict(found.preview) if found.preview else None,
        "beside_preview": asdict(found.beside) if found.beside else None,
        "redeemed": asdict(found.redeemed) if found.redeemed else None,
        "night": asdict(found.night) if found.night else None,
        "remarks": remarks(found),
        "sales_acknowledged_and_recorded": found.sales_recorded,
        "load": {
            "generator_processes": PROCESSES,
            "channels_per_process": CHANNELS_PER_PROCESS,
            "unary_in_flight": UNARY_IN_FLIGHT,
            "bulk_in_flight": BULK_IN_FLIGHT,
            "redeem_in_flight": REDEEM_IN_FLIGHT,
            "rounds": plan.rounds,
            "seconds_per_round": plan.seconds,
            "history_sales": plan.history_sales,
            "wallets": plan.wallets,
            "lag_seconds": plan.lag_seconds,
            "backlog_entries": plan.backlog_entries,
            "members": plan.members,
            "member_slices": plan.member_slices,
        },
        "database": dict(settings),
        "machine": machine(),
        "commit": commit(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def table_of(found: Found, names: Sequence[str]) -> Table:
    """What is printed: each key with its target, the spread of its rounds and who did the work."""
    values = values_of(found)
    table = Table("key", "value", "target", "", "what", box=None, pad_edge=False)
    for column in table.columns[1:3]:
        column.justify = "right"
    for key in KEYS:
        if key.name in names:
            value = values[key.name]
            met = None if value is None else key.is_met(value)
            verdict = {None: "", True: "[green]met[/]", False: "[red]missed[/]"}[met]
            table.add_row(key.name, _shown(key, value), _target_shown(key), verdict, key.what)
    return table


def shares_table(found: Found) -> Table:
    """Who used the cores, and how far apart the rounds were."""
    table = Table(box=None, pad_edge=False)
    table.add_column("contestant")
    for heading in ("least", "median", "most", SERVER, DATABASE, GENERATORS, OTHERS, STOLEN):
        table.add_column(heading, justify="right")
    measured = {str(name): turns for name, turns in found.turns.items()}
    if found.grown:
        measured |= {"bulk, empty": found.empty, "bulk, grown": found.grown}
    for name, turns in measured.items():
        scale, unit = (1000.0, " ms") if name.startswith("idle") else (1.0, "")
        shown = [min(t.value for t in turns), median(turns), max(t.value for t in turns)]
        table.add_row(
            name,
            *(f"{value * scale:,.{2 if unit else 0}f}{unit}" for value in shown),
            *(f"{_share(turns, process):.0%}" for process in turns[0].usage.seconds),
            *(f"{_share(turns, whose):.0%}" for whose in (OTHERS, STOLEN)),
        )
    return table


def noise(found: Found) -> str | None:
    """A sentence where others took part of the cores, here or on the same hardware; None where the
    machine was ours.
    """
    turns = [turn for turns in (*found.turns.values(), found.empty, found.grown) for turn in turns]
    if not turns:
        return None
    others, stolen = _share(turns, OTHERS), _share(turns, STOLEN)
    if max(others, stolen) < NOISE_CORE_SHARE_MIN:
        return None
    return (
        f"other processes took {others:.0%} of the cores, and other machines {stolen:.0%}:"
        " every rate is lower than it could be"
    )


def remarks(found: Found) -> list[str]:
    """What a reader has to know before believing a number."""
    told = []
    if found.lag and found.lag.is_short:
        told.append(
            f"events_lag_p99_s: the machine offered {found.lag.sales_per_second:,.0f} sales/s,"
            f" not {found.lag.sales_per_second_wanted:,}"
        )
    if found.preview:
        if found.preview.members != MEMBERS:
            told.append(
                f"preview_1m_seconds: in proportion, from {found.preview.seconds:.1f} s for"
                f" {found.preview.members:,} members"
            )
        told.append(
            f"the preview's process had at most {found.preview.peak_memory_bytes / MEBIBYTE:,.0f}"
            f" MiB of memory, {PREVIEW_MEMORY_BYTES_MAX / MEBIBYTE:,.0f} are allowed"
        )
    return told


def machine() -> dict[str, object]:
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "grpcio": version("grpcio"),
        "protobuf": version("protobuf"),
    }


def commit() -> str | None:
    """What is checked out, with "+" where files differ from it; None outside a repository."""
    root = Path(__file__).parents[2]
    try:
        head = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain")
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed else "")


def save(content: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(  # noqa: S603 — git itself, with arguments of ours
        command, capture_output=True, text=True, check=True, timeout=30
    ).stdout.strip()


def _processor() -> str:
    try:
        lines = CPU_INFO.read_text().splitlines()
    except OSError:
        return platform.processor()
    found = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(found, platform.processor())


def _ratio(
    medians: Mapping[Contestant, float], above: Contestant, below: Contestant
) -> float | None:
    if above not in medians or below not in medians:
        return None
    return medians[above] / medians[below]


def _rounded(key: Key, value: float | None) -> float | None:
    return None if value is None else round(value, key.digits + 2)


def _target(key: Key, value: float | None) -> dict[str, object]:
    bound = "at_most" if key.at_most else "at_least"
    return {bound: key.target, "met": None if value is None else key.is_met(value)}


def _shown(key: Key, value: float | None) -> str:
    return "not measured" if value is None else f"{value:,.{key.digits}f}"


def _target_shown(key: Key) -> str:
    if key.target is None:
        return ""
    return f"{'≤' if key.at_most else '≥'} {key.target:,.{key.digits}f}"


def _shares(turns: Mapping[Contestant, Sequence[Turn]], process: str) -> dict[str, float]:
    return {str(name): round(_share(found, process), 3) for name, found in turns.items()}


def _share(turns: Sequence[Turn], whose: str) -> float:
    return statistics.median(turn.usage.core_shares()[whose] for turn in turns)


def _turns(turns: Sequence[Turn]) -> dict[str, Any]:
    """Every round's value, and medians of who did the work."""
    if not turns:
        return {}
    processes = list(turns[0].usage.seconds)
    return {
        "rounds": [round(turn.value, 6) for turn in turns],
        "median": round(median(turns), 6),
        "spread": round((max(_values(turns)) - min(_values(turns))) / median(turns), 3),
        "core_share": {process: round(_share(turns, process), 3) for process in processes},
        "others_core_share": round(_share(turns, OTHERS), 3),
        "stolen_core_share": round(_share(turns, STOLEN), 3),
        "processor_micros_each": {
            process: round(statistics.median(turn.cost_micros(process) for turn in turns), 1)
            for process in processes
        },
        "p50_ms": _latency([turn.p50_seconds for turn in turns]),
        "p99_ms": _latency([turn.p99_seconds for turn in turns]),
    }


def _values(turns: Sequence[Turn]) -> list[float]:
    return [turn.value for turn in turns]


def _latency(seconds: Sequence[float | None]) -> float | None:
    known = [value for value in seconds if value is not None]
    return round(statistics.median(known) * 1000, 3) if known else None
