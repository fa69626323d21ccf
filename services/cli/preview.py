"""`loyalty preview`: what other thresholds would do to every member, seen before publishing."""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import grpc
import typer
from google.protobuf import json_format
from loyalty.tiering.v1 import rules_pb2, rules_pb2_grpc
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from services.cli.call import say_refusal
from services.cli.run_file import NothingRuns, RunningPlatform
from services.cli.tokens import mint
from services.plumbing.grpc_client import bearer, channel

PREVIEW_SECONDS_MAX = 3_600.0
CALL_SECONDS_MAX = 30.0
TOKEN_SECONDS = 3_600
PUBLISHED = rules_pb2.RuleSet.STATE_PUBLISHED


class PreviewImpossible(Exception):  # noqa: N818 — an answer to whoever asked
    """What was asked for cannot be previewed; the text says why."""


def run(
    data: Path, group: str, thresholds: Sequence[str], *, point_value_minor: str, as_json: bool
) -> None:
    """Draft the newest published rules of a group with other thresholds, and preview the draft."""
    try:
        wanted = read_thresholds(thresholds)
        platform = RunningPlatform.load(data)
        preview = _preview(platform, data, f"tierGroups/{group}", wanted, point_value_minor)
    except (NothingRuns, PreviewImpossible) as refused:
        typer.echo(f"loyalty preview: {refused}", err=True)
        raise typer.Exit(1) from None
    except grpc.RpcError as error:
        say_refusal(error)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json_format.MessageToJson(preview))
    else:
        _show(preview, Console(highlight=False))


def read_thresholds(texts: Iterable[str]) -> dict[str, int]:
    """Qualifying points by tier, of texts such as "gold=1200". Refuses: PreviewImpossible."""
    found = {}
    for text in texts:
        tier, _, points = text.partition("=")
        if not tier or not points.isdecimal():
            raise PreviewImpossible(f"{text}: a threshold is written as in gold=1200")
        found[tier] = int(points)
    return found


def with_thresholds(rules: rules_pb2.Rules, thresholds: Mapping[str, int]) -> rules_pb2.Rules:
    """The rules with other thresholds on qualifying points. Refuses: PreviewImpossible."""
    changed = rules_pb2.Rules()
    changed.CopyFrom(rules)
    left = dict(thresholds)
    for tier in changed.tiers:
        if tier.code in left:
            if not tier.HasField("bar"):
                raise PreviewImpossible(f"{tier.code} has no threshold")
            tier.bar.attain.points = left.pop(tier.code)
    if left:
        known = ", ".join(tier.code for tier in rules.tiers)
        raise PreviewImpossible(f"there is no tier {', '.join(left)}; there are {known}")
    return changed


def _preview(
    platform: RunningPlatform,
    data: Path,
    group: str,
    thresholds: Mapping[str, int],
    point_value_minor: str,
) -> rules_pb2.Preview:
    token = mint(
        data,
        subject="operators/command-line",
        scope="rules.read rules.write",
        stores=[],
        lifetime_seconds=TOKEN_SECONDS,
    )
    metadata = bearer(token)
    address = platform.grpc_address("tiering")
    with channel(address, seconds_max=PREVIEW_SECONDS_MAX) as opened:
        stub = rules_pb2_grpc.RuleSetServiceStub(opened)
        listed = stub.ListRuleSets(
            rules_pb2.ListRuleSetsRequest(parent=group),
            timeout=CALL_SECONDS_MAX,
            metadata=metadata,
        ).rule_sets
        newest = next((each for each in listed if each.state == PUBLISHED), None)
        if newest is None:
            raise PreviewImpossible(f"{group} has no published rules to begin with")
        draft = stub.CreateDraft(
            rules_pb2.CreateDraftRequest(
                request_id=str(uuid.uuid4()),
                group=group,
                rules=with_thresholds(newest.rules, thresholds),
            ),
            timeout=CALL_SECONDS_MAX,
            metadata=metadata,
        ).rule_set
        start = rules_pb2.PreviewStart(rule_set=draft.name, point_value_minor=point_value_minor)
        answers = stub.PreviewRules(
            rules_pb2.PreviewRulesRequest(preview=start),
            timeout=PREVIEW_SECONDS_MAX,
            metadata=metadata,
        )
        return _followed(answers)


def _followed(answers: Iterator[rules_pb2.PreviewRulesResponse]) -> rules_pb2.Preview:
    """The last answer of a stream, with a bar while it comes."""
    bar = Progress(
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} members"),
        BarColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=1)
        for answer in answers:
            if answer.HasField("preview"):
                return answer.preview
            done = answer.progress
            bar.update(task, completed=done.members_done, total=max(done.members, 1))
    raise PreviewImpossible("the preview ended before its result")


def _show(preview: rules_pb2.Preview, console: Console) -> None:
    console.print(
        f"{preview.rule_set} beside {preview.compared_rule_set or 'no rules'}:"
        f" {preview.members:,} members, {preview.replay_from_day} to {preview.effective_day}"
    )
    console.print(_matrix(preview))
    share = float(preview.demoted_share or 0)
    console.print(
        f"{preview.members_up:,} up, {preview.members_down:,} down"
        f" ({share:.2%} of all members demoted)"
    )
    console.print(_costs(preview))
    console.print(
        f'who moves: loyalty call ListPreviewMovers \'{{"parent": "{preview.name}"}}\'',
        style="dim",
    )


def _matrix(preview: rules_pb2.Preview) -> Table:
    """From the tiers as they are (rows) to the tiers as they would be (columns)."""
    moved = {(move.from_tier, move.to_tier): move.members for move in preview.matrix}
    table = Table()
    table.add_column("now \\ draft")
    for tier in (*preview.tiers_draft, "all"):
        table.add_column(tier, justify="right")
    for start in preview.tiers_in_force:
        row = [moved.get((start, end), 0) for end in preview.tiers_draft]
        # Who stays stands out from who moves.
        cells = [
            _cell(count, stays=start == end)
            for count, end in zip(row, preview.tiers_draft, strict=True)
        ]
        table.add_row(start, *cells, f"{sum(row):,}")
    return table


def _cell(count: int, *, stays: bool) -> str:
    if not count:
        return "·"
    return f"{count:,}" if stays else f"[bold]{count:,}[/bold]"


def _costs(preview: rules_pb2.Preview) -> Table:
    table = Table()
    table.add_column("multipliers give")
    for heading in ("points", "worth", "points a year", "worth a year"):
        table.add_column(heading, justify="right")
    for name, cost in (("now", preview.cost_in_force), ("draft", preview.cost_draft)):
        table.add_row(
            name,
            f"{cost.extra_points:,}",
            f"{cost.extra_minor:,}",
            f"{cost.extra_points_per_year:,}",
            f"{cost.extra_minor_per_year:,}",
        )
    return table
