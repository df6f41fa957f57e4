"""Structured events for people who diagnose: a name and key-value pairs, never the record.

    log = get_logger(__name__)
    log.info("gate_started", epoch=3, socket=str(path))

Nothing may depend on a log line; what has to be known later is written to the journal. A stream that takes no more
(a full disk under a redirected output, a terminal that is gone) therefore stops nobody: the line is counted as lost.
"""

import logging
import sys
from typing import TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from controlplane.runtime import metrics
from controlplane.runtime.settings import LogFormat, LogLevel


class Output:
    """A stream as seen by those who write events: what it refuses is counted and never raised."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """How many characters were taken, all or none."""
        try:
            return self._stream.write(text)
        # ValueError is how Python says that the stream was closed.
        except (OSError, ValueError):
            metrics.LOG_LINES_LOST.inc()
            return 0

    def flush(self) -> None:
        """Pass on what the stream still holds, where it still can."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            metrics.LOG_LINES_LOST.inc()


def configure_logs(
    *, level: LogLevel = LogLevel.INFO, form: LogFormat = LogFormat.CONSOLE, stream: TextIO | None = None
) -> None:
    """Send every event of this process, and those of its libraries, to one stream; standard error unless told."""
    target = stream or sys.stderr
    output = cast("TextIO", Output(target))
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    if form is LogFormat.JSON:
        render: Processor = structlog.processors.JSONRenderer(sort_keys=True)
    else:
        render = structlog.dev.ConsoleRenderer(colors=target.isatty())
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
