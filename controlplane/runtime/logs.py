"""Structured events for people who diagnose: a name and key-value pairs, never the record.

    log = get_logger(__name__)
    log.info("gate_started", epoch=3, socket=str(path))

Nothing may depend on a log line; what has to be known later is written to the journal.
"""

import logging
import sys
from typing import TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from controlplane.runtime.settings import LogFormat, LogLevel


def configure_logs(
    *, level: LogLevel = LogLevel.INFO, form: LogFormat = LogFormat.CONSOLE, stream: TextIO | None = None
) -> None:
    """Send every event of this process, and those of its libraries, to one stream; standard error unless told."""
    output = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    if form is LogFormat.JSON:
        render: Processor = structlog.processors.JSONRenderer(sort_keys=True)
    else:
        render = structlog.dev.ConsoleRenderer(colors=output.isatty())
    threshold = logging.getLevelNamesMapping()[level.value.upper()]
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(output),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    # Libraries tell more than we want at our own level; their warnings are always worth a line.
    root.setLevel(max(threshold, logging.WARNING))


def get_logger(subject: str) -> FilteringBoundLogger:
    """A logger whose events carry the part of the product that wrote them."""
    return cast("FilteringBoundLogger", structlog.get_logger(subject=subject))
