"""Log lines say where, and never what."""

import json
import logging
import sys

from sqlalchemy.exc import IntegrityError

from services.plumbing.telemetry import JsonLines


def line(record: logging.LogRecord) -> dict[str, object]:
    formatted = JsonLines().format(record)
    assert "\n" not in formatted
    read: dict[str, object] = json.loads(formatted)
    return read


def record(**extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord(
        {"name": "grpc", "levelname": "INFO", "msg": "call %s", "args": ("x",), "created": 0.5}
    )
    made.msecs = 500
    made.__dict__.update(extra)
    return made


def test_line_has_time_level_logger_message_and_extra() -> None:
    assert line(record(code="OK", ms=1.5)) == {
        "time": "1970-01-01T00:00:00.500Z",
        "level": "INFO",
        "logger": "grpc",
        "message": "call x",
        "code": "OK",
        "ms": 1.5,
    }


def test_exception_is_named_and_placed_but_its_text_left_out() -> None:
    try:
        raise IntegrityError("INSERT", {"email": "ada@example.com"}, ValueError("ada@example.com"))
    except IntegrityError:
        written = line(record(exc_info=sys.exc_info()))
    assert written["exception"] == "IntegrityError"
    assert "test_plumbing_telemetry.py" in str(written["trace"])
    assert "ada@example.com" not in str(written)
