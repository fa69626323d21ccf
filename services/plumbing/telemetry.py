"""Logs as JSON lines and Prometheus metrics; neither carries personal data."""

import json
import logging
import sys
import time
import traceback

from prometheus_client import Counter, Histogram, start_http_server

from services.plumbing.sql_state import sql_state

GRPC_HANDLED = Counter(
    "grpc_server_handled_total", "Calls answered, by method and code.", ["grpc_method", "grpc_code"]
)
# A reason is a word of the contract; there are few.
GRPC_REFUSED = Counter(
    "grpc_server_refusals_total",
    "Calls not answered with OK, by method and reason.",
    ["grpc_method", "reason"],
)
GRPC_SECONDS = Histogram(
    "grpc_server_handling_seconds",
    "Seconds from a call's arrival to its answer.",
    ["grpc_method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

# What logging.LogRecord itself carries; everything else was given as `extra`.
_OWN_FIELDS = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message and the `extra` fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update((k, v) for k, v in record.__dict__.items() if k not in _OWN_FIELDS)
        if record.exc_info and record.exc_info[0]:
            # Where, but not the error's text: a database quotes the offending values there.
            line["exception"] = record.exc_info[0].__name__
            line["sqlstate"] = sql_state(record.exc_info[1])
            line["trace"] = [
                f"{frame.filename}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(record.exc_info[2])
            ]
        return json.dumps(line, default=str)


def start_logging(level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)


def serve_metrics(port: int) -> None:
    """Serve the metrics on every interface, from a daemon thread."""
    start_http_server(port)
