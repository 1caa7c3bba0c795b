"""Structured logs: one JSON object a line on standard output, with the ids that are bound.

`structlog.contextvars.bind_contextvars(request_id=…, booking_id=…)` adds ids to every line that
follows in the same request or task. Lines hold ids, never names or addresses.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

import structlog

from db.connections import current_trace
from db.runtime.settings import settings

encode = json.JSONEncoder(default=str).encode


class Lines:
    """Where lines go."""

    stream: TextIO = sys.stdout


def configure_logs(process: str) -> None:
    """Send structlog's and the standard library's lines to standard output as JSON."""
    Lines.stream = sys.stdout
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    level = getattr(logging, settings().log_level.upper())
    as_json = structlog.processors.JSONRenderer(default=str)
    structlog.configure(
        processors=[*shared, as_json],
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processor=as_json, foreign_pre_chain=shared)
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.INFO), force=True)
    logging.getLogger("stripe").setLevel(max(level, logging.WARNING))  # two lines a call
    structlog.contextvars.bind_contextvars(process=process)


def write_info(event: str, **values: Any) -> None:
    """Write the line that structlog's `info` would write, for what is logged at each request:
    structlog takes the time of ten lines for one."""
    if settings().log_level not in ("debug", "info"):
        return
    line = structlog.contextvars.get_contextvars() | values
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    line |= {"event": event, "level": "info", "timestamp": now}
    Lines.stream.write(encode(line) + "\n")
    Lines.stream.flush()


def bind_trace(trace: str | None) -> None:
    """Add the trace to all following lines of this thread, and to the tasks that it enqueues."""
    current_trace.set(trace)
    if trace is None:
        structlog.contextvars.unbind_contextvars("trace")
    else:
        structlog.contextvars.bind_contextvars(trace=trace)
