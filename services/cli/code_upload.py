"""`loyalty upload-codes`: a file of voucher codes into a pool, chunk by chunk."""

import hashlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import grpc
import typer
from loyalty.rewards.v1 import vouchers_pb2, vouchers_pb2_grpc

from services.cli.call import say_refusal
from services.cli.run_file import NothingRuns, RunningPlatform
from services.cli.tokens import mint
from services.plumbing.grpc_client import bearer, channel

SCOPE = "vouchers.write"
# As much as one call takes.
CHUNK_LINES = 10_000
# Longer than any code; what is cut off of a line does not make it one.
LINE_LENGTH_MAX = 100
CALL_SECONDS_MAX = 60.0
TOKEN_SECONDS = 86_400
LINES_TOLD_MAX = 100
UPLOADS = uuid.UUID("0f6a3c52-6a39-4a53-9d0b-7f6de0f8f5a5")


@dataclass(slots=True)
class Report:
    """What became of a file. Lines are the first of their kind."""

    loaded: int
    duplicates: int
    bad: int
    duplicate_lines: list[int]
    bad_lines: list[int]


def run(data_dir: Path, pool: str, file: Path, *, as_json: bool) -> None:
    """Upload a file to a running platform and print a report; exits 1 where it cannot."""
    try:
        address = RunningPlatform.load(data_dir).grpc_address("rewards")
    except NothingRuns as refused:
        typer.echo(f"loyalty upload-codes: {refused}", err=True)
        raise typer.Exit(1) from None
    token = mint(
        data_dir,
        subject="operators/command-line",
        scope=SCOPE,
        stores=[],
        lifetime_seconds=TOKEN_SECONDS,
    )
    with channel(address, seconds_max=CALL_SECONDS_MAX) as opened:
        try:
            report = upload(opened, token, pool, file)
        except grpc.RpcError as error:
            say_refusal(error)
            raise typer.Exit(1) from None
    typer.echo(json.dumps(asdict(report)) if as_json else _text(report))


def upload(opened: grpc.Channel, token: str, pool: str, file: Path) -> Report:
    """Upload a file; what an earlier attempt loaded is answered again. Refuses: grpc.RpcError."""
    stub = vouchers_pb2_grpc.VoucherServiceStub(opened)
    # The same file is the same upload, whoever goes on with it.
    upload_id = str(uuid.uuid5(UPLOADS, f"{pool}/{_digest(file)}"))
    report = Report(0, 0, 0, [], [])
    first_line = 1
    for codes in _chunks(file):
        request = vouchers_pb2.UploadCodesRequest(
            pool=f"codePools/{pool}", upload_id=upload_id, first_line=first_line, codes=codes
        )
        answer = stub.UploadCodes(request, metadata=bearer(token))
        report.loaded += answer.loaded
        report.duplicates += answer.duplicates
        report.bad += answer.bad
        report.duplicate_lines += answer.duplicate_lines
        report.bad_lines += answer.bad_lines
        del report.duplicate_lines[LINES_TOLD_MAX:], report.bad_lines[LINES_TOLD_MAX:]
        first_line += len(codes)
    return report


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _chunks(file: Path) -> Iterator[list[str]]:
    with file.open(encoding="utf-8", errors="replace") as lines:
        while chunk := [line.rstrip("\n")[:LINE_LENGTH_MAX] for line in islice(lines, CHUNK_LINES)]:
            yield chunk


def _text(report: Report) -> str:
    lines = [f"{report.loaded:,} codes loaded"]
    for what, count, numbers in (
        ("duplicates", report.duplicates, report.duplicate_lines),
        ("bad lines", report.bad, report.bad_lines),
    ):
        if count:
            more = ", …" if count > len(numbers) else ""
            lines.append(f"{count:,} {what}: {', '.join(map(str, numbers))}{more}")
    return "\n".join(lines)
