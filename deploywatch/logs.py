"""Structured logs on standard error, as logfmt for people or JSON for machines."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog
from structlog.stdlib import BoundLogger
from structlog.typing import EventDict, Processor, WrappedLogger

from deploywatch import terminal

FORMATS = ("logfmt", "json")
LEVELS = ("debug", "info", "warn", "error")


def configure(*, form: str = "logfmt", level: str = "info") -> None:
    """Send every log line, the libraries' too, to standard error in `form`, from `level` up."""
    threshold = {
        "debug": logging.DEBUG,
        "info": logging.INFO,
        "warn": logging.WARNING,
        "error": logging.ERROR,
    }[level]
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        _short_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.format_exc_info,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(form)],
        )
    )
    # `force`: a library may have set one up at import.
    logging.basicConfig(handlers=[handler], level=threshold, force=True)
    # One line a request or a statement is noise below debug.
    for name in ("aiohttp.access", "alembic", "slack_sdk", "asyncio"):
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
    logging.getLogger("aiohttp.server").addFilter(_without_traceback)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        # Not cached: a logger follows a later configuration, in tests too, and lines are few.
        cache_logger_on_first_use=False,
    )


def _renderers(form: str) -> list[Processor]:
    if form == "json":
        return [structlog.processors.JSONRenderer(default=str)]
    logfmt = structlog.processors.LogfmtRenderer(key_order=["ts", "level", "event"], drop_missing=True)
    return [_plain_values, logfmt]


def _without_traceback(record: logging.LogRecord) -> bool:
    """Of bytes that are no HTTP, which anybody can send, one line is said: our code has no part in it."""
    error = record.exc_info[1] if record.exc_info else None
    # By the module's name, since the classes there are many and not all of them public.
    if type(error).__module__ == "aiohttp.http_exceptions":
        record.msg, record.args, record.exc_info = f"not HTTP: {type(error).__name__}", (), None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


def get(name: str) -> BoundLogger:
    """The logger of one part; call it as `log.info("probe failed", target=..., reason=...)`."""
    logger: BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def debugging(name: str) -> bool:
    """Whether anybody sees the lines for debugging of one part."""
    return logging.getLogger(name).isEnabledFor(logging.DEBUG)


def _short_level(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if event.get("level") == "warning":
        event["level"] = "warn"
    return event


def _plain_values(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Logfmt takes flat values and one line each: all else is written as text, what moves the cursor escaped."""
    return {key: _plain(value) for key, value in event.items()}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return terminal.escaped(str(value))
